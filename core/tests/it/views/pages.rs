//! Lists: every page is the one that a plain sort of everything would give, also while others write.

use std::cmp::{Ordering, Reverse};
use std::collections::HashSet;

use shop_core::domain::{Order, OrderStatus, Product, User};
use shop_core::testkit::{Histories, TestViews};
use shop_core::views::{
    OrderCursor, OrderFilter, Page, PageRequest, ProductCursor, ProductFilter, ProductSort, Take,
    UserCursor, UserFilter,
};

fn order_of(sort: ProductSort, a: &Product, b: &Product) -> Ordering {
    match sort {
        ProductSort::Newest => b.id.cmp(&a.id),
        ProductSort::Name => {
            let key = |product: &Product| -> String {
                product.name.chars().flat_map(char::to_lowercase).collect()
            };
            (key(a), a.id).cmp(&(key(b), b.id))
        }
        ProductSort::Price => {
            let key = |product: &Product| {
                (
                    product.price.currency.code(),
                    product.price.minor,
                    product.id,
                )
            };
            key(a).cmp(&key(b))
        }
    }
}

/// The page of a list that is all in memory, by the letter of the Relay specification.
fn expected<T: Clone>(list: &[T], request: &PageRequest<usize>) -> Page<T> {
    let start = request.after.map_or(0, |place| place + 1);
    let end = request.before.unwrap_or(list.len()).max(start);
    let range = &list[start..end];
    match request.take {
        Take::First(count) => Page {
            items: range[..count.min(range.len())].to_vec(),
            has_next: range.len() > count,
            has_previous: request.after.is_some(),
        },
        Take::Last(count) => Page {
            items: range[range.len() - count.min(range.len())..].to_vec(),
            has_next: request.before.is_some(),
            has_previous: range.len() > count,
        },
    }
}

fn any_request(length: usize, rng: &mut fastrand::Rng) -> PageRequest<usize> {
    let count = rng.usize(..length + 3);
    PageRequest {
        take: if rng.bool() {
            Take::First(count)
        } else {
            Take::Last(count)
        },
        after: rng.bool().then(|| rng.usize(..length)),
        before: rng.bool().then(|| rng.usize(..length)),
    }
}

fn with_cursors<T, K>(
    request: &PageRequest<usize>,
    list: &[T],
    cursor: impl Fn(&T) -> K,
) -> PageRequest<K> {
    PageRequest {
        take: request.take,
        after: request.after.map(|place| cursor(&list[place])),
        before: request.before.map(|place| cursor(&list[place])),
    }
}

/// First states of made-up products: many names and prices occur more than once, deleted ones are in between.
async fn catalogue(views: &TestViews, histories: &mut Histories, count: usize) -> Vec<Product> {
    let mut products: Vec<Product> = (0..count)
        .map(|_| histories.product().swap_remove(0))
        .collect();
    for product in &mut products {
        product.price.minor %= 5;
    }
    let mut deleted: Vec<Product> = (0..5).map(|_| histories.product().swap_remove(0)).collect();
    for product in &mut deleted {
        product.delete(product.updated_at);
    }
    views.apply_products(&products).await.expect("a write");
    views.apply_products(&deleted).await.expect("a write");
    products
}

#[tokio::test]
async fn any_page_of_products_in_any_order_is_the_one_of_a_plain_sort() {
    let views = TestViews::new().await;
    let mut histories = Histories::new(31);
    let mut list = catalogue(&views, &mut histories, 25).await;
    for sort in ProductSort::ALL {
        list.sort_by(|a, b| order_of(sort, a, b));
        for _ in 0..40 {
            let request = any_request(list.len(), histories.rng());
            let page = with_cursors(&request, &list, |product| ProductCursor::of(sort, product));
            let found = views
                .list_products(&ProductFilter::default(), sort, page)
                .await;
            assert_eq!(
                found.expect("a page"),
                expected(&list, &request),
                "{sort:?} {request:?}"
            );
        }
    }
}

#[tokio::test]
async fn any_page_of_users_is_the_one_of_a_plain_sort() {
    let views = TestViews::new().await;
    let mut histories = Histories::new(32);
    let mut list: Vec<User> = (0..15).map(|_| histories.user().swap_remove(0)).collect();
    views.apply_users(&list).await.expect("a write");
    list.sort_by_key(|user| Reverse(user.id));
    for _ in 0..30 {
        let request = any_request(list.len(), histories.rng());
        let page = with_cursors(&request, &list, UserCursor::of);
        let found = views
            .list_users(&UserFilter::default(), page)
            .await
            .expect("a page");
        assert_eq!(found, expected(&list, &request), "{request:?}");
    }
}

#[tokio::test]
async fn orders_are_found_by_customer_and_status_page_by_page() {
    let views = TestViews::new().await;
    let mut histories = Histories::new(33);
    let (ada, bob) = (histories.user()[0].id, histories.user()[0].id);
    let mut orders: Vec<Order> = Vec::new();
    for place in 0..90 {
        let mut history = histories.order();
        let mut order = history.swap_remove(histories.rng().usize(..history.len()));
        order.customer_id = if place % 3 == 0 { bob } else { ada };
        orders.push(order);
    }
    views.apply_orders(&orders).await.expect("a write");
    orders.retain(|order| !order.deleted);
    orders.sort_by_key(|order| Reverse(order.id));
    for customer_id in [None, Some(ada), Some(bob)] {
        for statuses in [
            vec![],
            vec![OrderStatus::Pending],
            vec![
                OrderStatus::Delivered,
                OrderStatus::Canceled,
                OrderStatus::Pending,
            ],
        ] {
            let list: Vec<Order> = orders
                .iter()
                .filter(|order| customer_id.is_none_or(|id| order.customer_id == id))
                .filter(|order| statuses.is_empty() || statuses.contains(&order.status))
                .cloned()
                .collect();
            assert!(
                list.len() > 2,
                "the seed makes up too little for {customer_id:?} {statuses:?}"
            );
            let filter = OrderFilter {
                customer_id,
                statuses: statuses.clone(),
            };
            for _ in 0..8 {
                let request = any_request(list.len(), histories.rng());
                let page = with_cursors(&request, &list, OrderCursor::of);
                let found = views.list_orders(&filter, page).await.expect("a page");
                assert_eq!(found, expected(&list, &request), "{filter:?} {request:?}");
            }
        }
    }
}

/// Walks a list to its end and writes before every step; what comes is what was there, once each and in order.
async fn walk(views: &TestViews, histories: &mut Histories, sort: ProductSort, backwards: bool) {
    let mut before = catalogue(views, histories, 20).await;
    let mut page = if backwards {
        PageRequest::last(3)
    } else {
        PageRequest::first(3)
    };
    let (mut walked, mut deleted) = (Vec::new(), HashSet::new());
    loop {
        let mut found = views
            .list_products(&ProductFilter::default(), sort, page)
            .await
            .expect("a page");
        let goes_on = if backwards {
            found.has_previous
        } else {
            found.has_next
        };
        if backwards {
            found.items.reverse();
        }
        let last = found.items.last().cloned();
        walked.append(&mut found.items);
        assert!(walked.len() < 1_000, "{sort:?}: the walk does not end");
        // Others write: three new ones anywhere, and the one that the cursor stands on goes.
        let fresh: Vec<Product> = (0..3).map(|_| histories.product().swap_remove(0)).collect();
        views.apply_products(&fresh).await.expect("a write");
        let Some(last) = last.filter(|_| goes_on) else {
            break;
        };
        let cursor = ProductCursor::of(sort, &last);
        let mut gone = last;
        gone.delete(gone.updated_at);
        deleted.insert(gone.id);
        views.apply_products(&[gone]).await.expect("a write");
        page = if backwards {
            PageRequest::last(3).before(cursor)
        } else {
            PageRequest::first(3).after(cursor)
        };
    }
    assert!(deleted.len() > 5, "the walk is too short to show anything");
    let in_order = |a: &Product, b: &Product| {
        order_of(sort, a, b)
            == if backwards {
                Ordering::Greater
            } else {
                Ordering::Less
            }
    };
    assert!(
        walked.is_sorted_by(in_order),
        "{sort:?}: out of order or twice"
    );
    before.retain(|product| !walked.contains(product));
    assert_eq!(before, [], "{sort:?}: these were skipped");
}

#[tokio::test]
async fn a_walk_through_the_list_skips_and_repeats_nothing_while_others_write() {
    for (seed, sort) in (40..).zip(ProductSort::ALL) {
        for backwards in [false, true] {
            walk(
                &TestViews::new().await,
                &mut Histories::new(seed),
                sort,
                backwards,
            )
            .await;
        }
    }
}

async fn names_that_contain(views: &TestViews, text: &str) -> Vec<String> {
    let filter = ProductFilter {
        name_contains: Some(text.to_owned()),
    };
    let page = views
        .list_products(&filter, ProductSort::Name, PageRequest::first(100))
        .await;
    page.expect("a page")
        .items
        .into_iter()
        .map(|product| product.name)
        .collect()
}

#[tokio::test]
async fn a_search_in_names_takes_every_character_literally_and_no_notice_of_case() {
    let views = TestViews::new().await;
    let mut histories = Histories::new(50);
    let names = [
        "plain mug",
        "a.*b",
        "axxb",
        "50% [off]",
        "(a|b)",
        "C:\\temp",
        "q?",
        "$5 ^",
        "Jörg's ÄPFEL",
        "ΟΔΟΣ ΟΔΟΣ",
        "#1 \"best\" /x/i",
        "two\nlines",
        "茶 💡",
        "{1,2}+-_~&!",
    ];
    let products: Vec<Product> = names
        .iter()
        .map(|name| Product {
            name: (*name).to_owned(),
            ..histories.product().swap_remove(0)
        })
        .collect();
    views.apply_products(&products).await.expect("a write");
    assert_eq!(names_that_contain(&views, ".*").await, ["a.*b"]);
    assert_eq!(names_that_contain(&views, "").await.len(), names.len());
    for text in [
        "nothing like it",
        "a\0b",
        "\0",
        "m.g",
        "^plain",
        "mug$",
        &"x".repeat(5_000),
    ] {
        assert_eq!(names_that_contain(&views, text).await, [""; 0], "{text:?}");
    }
    // Every part of every name, in either case, finds exactly the names with that part.
    let fold = |text: &str| -> String { text.chars().flat_map(char::to_lowercase).collect() };
    for _ in 0..60 {
        let rng = histories.rng();
        let name: Vec<char> = names[rng.usize(..names.len())].chars().collect();
        let start = rng.usize(..name.len());
        let part: String = name[start..=rng.usize(start..name.len())].iter().collect();
        let part = if rng.bool() {
            part.to_uppercase()
        } else {
            part
        };
        let mut expected: Vec<&str> = names
            .into_iter()
            .filter(|name| fold(name).contains(&fold(&part)))
            .collect();
        expected.sort_by_key(|name| fold(name));
        assert_eq!(
            names_that_contain(&views, &part).await,
            expected,
            "{part:?}"
        );
    }
}

#[tokio::test]
async fn a_user_is_found_by_e_mail_exactly_but_for_case() {
    let views = TestViews::new().await;
    let mut histories = Histories::new(60);
    let addresses = ["Ada.L@Example.org", "adaxl@example.org", "JÖRG@exämple.de"];
    let users: Vec<User> = addresses
        .iter()
        .map(|email| User {
            email: (*email).to_owned(),
            ..histories.user().swap_remove(0)
        })
        .collect();
    views.apply_users(&users).await.expect("a write");
    for (asked, found) in [
        ("ada.l@example.ORG", Some("Ada.L@Example.org")),
        (" ADAXL@EXAMPLE.ORG ", Some("adaxl@example.org")),
        ("jörg@EXÄMPLE.de", Some("JÖRG@exämple.de")),
        ("ada.l@example.or", None),
        (".*", None),
        ("", None),
    ] {
        let filter = UserFilter {
            email: Some(asked.to_owned()),
        };
        let page = views
            .list_users(&filter, PageRequest::first(5))
            .await
            .expect("a page");
        let emails: Vec<&str> = page.items.iter().map(|user| user.email.as_str()).collect();
        assert_eq!(emails, found.into_iter().collect::<Vec<_>>(), "{asked:?}");
    }
}
