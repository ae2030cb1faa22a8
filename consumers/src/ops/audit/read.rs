//! Reading both sides by id, page after page.

use std::collections::VecDeque;

use shop_core::db::{Conn, StoreError, orders, products, stock, users};
use shop_core::domain::{OrderId, ProductId, UserId};
use shop_core::events::Payload;
use shop_core::views::{Image, View, ViewError, Views};
use uuid::Uuid;

use super::sweep::Suspect;
use crate::ops::outlast;

/// Documents per page.
const PAGE: usize = 2_000;

/// States of a view's table by id, those after `after`.
pub async fn states_after(
    conn: &mut Conn,
    view: View,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Payload>, StoreError> {
    Ok(match view {
        View::Users => {
            let after = after.map(UserId::from_uuid);
            let users = users::after(conn, after, limit).await?;
            users.into_iter().map(Payload::User).collect()
        }
        View::Products => {
            let after = after.map(ProductId::from_uuid);
            let products = products::after(conn, after, limit).await?;
            products.into_iter().map(Payload::Product).collect()
        }
        View::StockLevels => {
            let after = after.map(ProductId::from_uuid);
            let levels = stock::levels_after(conn, after, limit).await?;
            levels.into_iter().map(Payload::StockLevel).collect()
        }
        View::Orders => {
            let after = after.map(OrderId::from_uuid);
            let orders = orders::after(conn, after, limit).await?;
            let boxed = |order| Payload::Order(Box::new(order));
            orders.into_iter().map(boxed).collect()
        }
    })
}

/// The documents of a view, by id, read a page ahead.
pub struct Documents<'a> {
    views: &'a Views,
    view: View,
    after: Option<Uuid>,
    read: VecDeque<Image>,
    is_end: bool,
    /// How many were taken.
    pub count: u64,
}

impl<'a> Documents<'a> {
    /// From the first one on.
    pub fn new(views: &'a Views, view: View) -> Self {
        Self {
            views,
            view,
            after: None,
            read: VecDeque::new(),
            is_end: false,
            count: 0,
        }
    }

    /// Reads a page, unless there is one.
    pub async fn fill(&mut self) -> Result<(), ViewError> {
        if self.read.len() < PAGE && !self.is_end {
            let page = outlast(async || self.views.images_after(self.view, self.after, PAGE).await)
                .await?;
            self.is_end = page.len() < PAGE;
            self.after = page.last().map(Image::id).or(self.after);
            self.read.extend(page);
        }
        Ok(())
    }

    async fn first(&mut self) -> Result<Option<Uuid>, ViewError> {
        if self.read.is_empty() {
            self.fill().await?;
        }
        Ok(self.read.front().map(Image::id))
    }

    /// The next document, whosever it is.
    pub async fn next(&mut self) -> Result<Option<Image>, ViewError> {
        self.first().await?;
        let image = self.read.pop_front();
        self.count += u64::from(image.is_some());
        Ok(image)
    }

    /// The document of an id, if it is the next.
    pub(super) async fn take(&mut self, id: Uuid) -> Result<Option<Image>, ViewError> {
        if self.first().await? == Some(id) {
            return self.next().await;
        }
        Ok(None)
    }

    /// Passes over documents before an id: nobody has a row for them.
    pub(super) async fn before(
        &mut self,
        id: Uuid,
        suspects: &mut Vec<Suspect>,
    ) -> Result<(), ViewError> {
        while let Some(first) = self.first().await?.filter(|first| *first < id) {
            suspects.push(Suspect::Document(self.view, first));
            self.next().await?;
        }
        Ok(())
    }

    pub(super) async fn rest(&mut self, suspects: &mut Vec<Suspect>) -> Result<(), ViewError> {
        while let Some(image) = self.next().await? {
            suspects.push(Suspect::Document(self.view, image.id()));
        }
        Ok(())
    }
}
