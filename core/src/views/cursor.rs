//! Cursors: where in a list an item stands. As text they name their list and sort order, so that one of another list is
//! refused instead of misread. The text is hexadecimal: opaque to clients, safe in a URL.

use mongodb::bson::Bson;
use uuid::Uuid;

use super::fields::{bson_uuid, fold_case};
use super::products::ProductSort;
use crate::domain::{Order, OrderId, Product, ProductId, User, UserId};

/// A text that is no cursor of the list it was given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a cursor of this list in this sort order, as an earlier page gave it")]
pub struct InvalidCursor;

/// A place in the list of users, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserCursor(pub UserId);

/// A place in a list of orders, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderCursor(pub OrderId);

/// A place in the list of products, in one of its orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProductCursor {
    /// Newest first.
    Newest(ProductId),
    /// By name without case, then by id.
    Name(String, ProductId),
    /// By currency, then amount, then id.
    Price {
        /// The currency's code.
        currency: String,
        /// The amount in minor units.
        minor: i64,
        /// Which product, among those of one price.
        id: ProductId,
    },
}

const USER: u8 = b'u';
const ORDER: u8 = b'o';
const PRODUCT_NEWEST: u8 = b'p';
const PRODUCT_NAME: u8 = b'n';
const PRODUCT_PRICE: u8 = b'c';

impl UserCursor {
    /// Where a user stands.
    pub fn of(user: &User) -> Self {
        Self(user.id)
    }

    /// As text for the client.
    pub fn encode(&self) -> String {
        write(USER, self.0.uuid(), &[])
    }

    /// From a client's text.
    ///
    /// # Errors
    /// [`InvalidCursor`].
    pub fn decode(text: &str) -> Result<Self, InvalidCursor> {
        match read(text)? {
            (USER, id, rest) if rest.is_empty() => Ok(Self(UserId::from_uuid(id))),
            _ => Err(InvalidCursor),
        }
    }

    pub(super) fn key(self) -> Vec<Bson> {
        vec![bson_uuid(self.0.uuid()).into()]
    }
}

impl OrderCursor {
    /// Where an order stands.
    pub fn of(order: &Order) -> Self {
        Self(order.id)
    }

    /// As text for the client.
    pub fn encode(&self) -> String {
        write(ORDER, self.0.uuid(), &[])
    }

    /// From a client's text.
    ///
    /// # Errors
    /// [`InvalidCursor`].
    pub fn decode(text: &str) -> Result<Self, InvalidCursor> {
        match read(text)? {
            (ORDER, id, rest) if rest.is_empty() => Ok(Self(OrderId::from_uuid(id))),
            _ => Err(InvalidCursor),
        }
    }

    pub(super) fn key(self) -> Vec<Bson> {
        vec![bson_uuid(self.0.uuid()).into()]
    }
}

impl ProductCursor {
    /// Where a product stands in a sort order.
    pub fn of(sort: ProductSort, product: &Product) -> Self {
        match sort {
            ProductSort::Newest => Self::Newest(product.id),
            ProductSort::Name => Self::Name(fold_case(&product.name), product.id),
            ProductSort::Price => Self::Price {
                currency: product.price.currency.code().to_owned(),
                minor: product.price.minor,
                id: product.id,
            },
        }
    }

    /// The order that this is a place in.
    pub fn sort(&self) -> ProductSort {
        match self {
            Self::Newest(_) => ProductSort::Newest,
            Self::Name(..) => ProductSort::Name,
            Self::Price { .. } => ProductSort::Price,
        }
    }

    /// As text for the client.
    pub fn encode(&self) -> String {
        match self {
            Self::Newest(id) => write(PRODUCT_NEWEST, id.uuid(), &[]),
            Self::Name(name, id) => write(PRODUCT_NAME, id.uuid(), name.as_bytes()),
            Self::Price {
                currency,
                minor,
                id,
            } => {
                let rest = [&minor.to_be_bytes()[..], currency.as_bytes()].concat();
                write(PRODUCT_PRICE, id.uuid(), &rest)
            }
        }
    }

    /// From a client's text; one of another sort order is refused.
    ///
    /// # Errors
    /// [`InvalidCursor`].
    pub fn decode(sort: ProductSort, text: &str) -> Result<Self, InvalidCursor> {
        let (kind, id, rest) = read(text)?;
        let id = ProductId::from_uuid(id);
        let words = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| InvalidCursor);
        match (sort, kind) {
            (ProductSort::Newest, PRODUCT_NEWEST) if rest.is_empty() => Ok(Self::Newest(id)),
            (ProductSort::Name, PRODUCT_NAME) => Ok(Self::Name(words(&rest)?, id)),
            (ProductSort::Price, PRODUCT_PRICE) => {
                let (minor, currency) = rest.split_first_chunk().ok_or(InvalidCursor)?;
                let minor = i64::from_be_bytes(*minor);
                Ok(Self::Price {
                    currency: words(currency)?,
                    minor,
                    id,
                })
            }
            _ => Err(InvalidCursor),
        }
    }

    pub(super) fn key(self) -> Vec<Bson> {
        let id = |id: ProductId| Bson::from(bson_uuid(id.uuid()));
        match self {
            Self::Newest(product) => vec![id(product)],
            Self::Name(name, product) => vec![name.into(), id(product)],
            Self::Price {
                currency,
                minor,
                id: product,
            } => {
                vec![currency.into(), minor.into(), id(product)]
            }
        }
    }
}

fn write(kind: u8, id: Uuid, rest: &[u8]) -> String {
    use std::fmt::Write as _;

    let bytes = [&[kind], &id.as_bytes()[..], rest].concat();
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            let _ = write!(text, "{byte:02x}"); // writing to a String can not fail
            text
        })
}

fn read(text: &str) -> Result<(u8, Uuid, Vec<u8>), InvalidCursor> {
    // Digits and small letters only, so that one place has one spelling.
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(InvalidCursor),
    };
    let (pairs, odd) = text.as_bytes().as_chunks::<2>();
    if !odd.is_empty() {
        return Err(InvalidCursor);
    }
    let bytes = pairs
        .iter()
        .map(|[high, low]| Ok(digit(*high)? * 16 + digit(*low)?))
        .collect::<Result<Vec<u8>, InvalidCursor>>()?;
    let (kind, rest) = bytes.split_first().ok_or(InvalidCursor)?;
    let (id, rest) = rest.split_first_chunk().ok_or(InvalidCursor)?;
    Ok((*kind, Uuid::from_bytes(*id), rest.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(0x0193_9f2e_7b1c_7def_8a34_5b6c_7d8e_9f01);

    fn product_cursors() -> [ProductCursor; 3] {
        let id = ProductId::from_uuid(ID);
        [
            ProductCursor::Newest(id),
            ProductCursor::Name("jörgs lampe \u{1f4a1}".to_owned(), id),
            ProductCursor::Price {
                currency: "EUR".to_owned(),
                minor: -1,
                id,
            },
        ]
    }

    #[test]
    fn a_cursor_reads_back_from_its_text() {
        let (user, order) = (
            UserCursor(UserId::from_uuid(ID)),
            OrderCursor(OrderId::from_uuid(ID)),
        );
        assert_eq!(UserCursor::decode(&user.encode()), Ok(user));
        assert_eq!(OrderCursor::decode(&order.encode()), Ok(order));
        for cursor in product_cursors() {
            let text = cursor.encode();
            assert!(
                text.bytes().all(|byte| byte.is_ascii_alphanumeric()),
                "{text}"
            );
            assert_eq!(ProductCursor::decode(cursor.sort(), &text), Ok(cursor));
        }
    }

    #[test]
    fn a_cursor_of_another_list_or_sort_order_is_refused() {
        let user = UserCursor(UserId::from_uuid(ID)).encode();
        assert_eq!(OrderCursor::decode(&user), Err(InvalidCursor));
        assert_eq!(
            ProductCursor::decode(ProductSort::Newest, &user),
            Err(InvalidCursor)
        );
        for cursor in product_cursors() {
            let text = cursor.encode();
            assert_eq!(UserCursor::decode(&text), Err(InvalidCursor));
            for sort in ProductSort::ALL
                .into_iter()
                .filter(|sort| *sort != cursor.sort())
            {
                assert_eq!(
                    ProductCursor::decode(sort, &text),
                    Err(InvalidCursor),
                    "{cursor:?}"
                );
            }
        }
    }

    #[test]
    fn what_no_page_gave_is_refused() {
        let good = UserCursor(UserId::from_uuid(ID)).encode();
        let (short, long, capital) = (&good[2..], format!("{good}00"), good.to_uppercase());
        for text in ["", "7", "zz", "75", "ü", short, &long, &capital] {
            assert_eq!(UserCursor::decode(text), Err(InvalidCursor), "{text:?}");
        }
        let not_text = write(PRODUCT_NAME, ID, &[0xff]);
        assert_eq!(
            ProductCursor::decode(ProductSort::Name, &not_text),
            Err(InvalidCursor)
        );
        let no_amount = write(PRODUCT_PRICE, ID, &[1, 2]);
        assert_eq!(
            ProductCursor::decode(ProductSort::Price, &no_amount),
            Err(InvalidCursor)
        );
    }
}
