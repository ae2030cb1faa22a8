//! `api seed`: a small catalogue and two users for an empty shop, and a first mutation to paste.

use std::fmt::Write as _;

use anyhow::Context as _;
use shop_core::commands::Call;
use shop_core::commands::products::{CreateProduct, create_product};
use shop_core::commands::users::{CreateUser, create_user};
use shop_core::db::{Db, StoreError, products, users};
use shop_core::domain::{Currency, Money, Product, User, UserId};
use shop_core::runtime::{Runtime, trace};

use crate::identity::Role;
use crate::identity::demo::{Signer, Tokens, user_of};

/// Name, e-mail address.
const USERS: [(&str, &str); 2] = [
    ("Ada Lovelace", "ada@example.org"),
    ("Grace Hopper", "grace@example.org"),
];

/// Name, description, cents, units.
const PRODUCTS: [(&str, &str, i64, i64); 6] = [
    (
        "Mug",
        "Stoneware, holds 0.3 l, survives the dishwasher.",
        12_90,
        100,
    ),
    (
        "Teapot",
        "Cast iron, with a strainer, for four cups.",
        49_00,
        25,
    ),
    (
        "Green tea",
        "Sencha, 100 g, this year's first harvest.",
        9_50,
        200,
    ),
    ("Tea towel", "Half linen, 50 by 70 cm.", 7_99, 80),
    ("Honey", "Lime blossom, 500 g.", 6_40, 60),
    ("Sugar tongs", "Silver plated. The last two.", 24_00, 2),
];

/// Rows that are shown, at most.
const SHOWN: i64 = 6;

/// Seeds, and prints the same text whether there was anything to do or not.
///
/// # Errors
/// If the write side is away, or refuses.
pub async fn run(runtime: Runtime) -> anyhow::Result<()> {
    let settings = runtime.settings;
    let db =
        Db::new(&settings.mysql, settings.kafka.encoding).context("failed to make the pool")?;
    let (customers, catalogue) = fill(&db).await?;
    let customer = customers.first().map(|user| user.id);
    let customer = customer.unwrap_or_else(|| user_of(Role::Customer));
    let tokens = Signer::new(settings.environment, &settings.identity)
        .and_then(|signer| Tokens::sign(&signer, customer));
    let addr = settings.http_addr.to_string();
    print!(
        "{}",
        text(&customers, &catalogue, tokens.ok().as_ref(), &addr)
    );
    Ok(())
}

/// The user that was there first, if there is any.
///
/// # Errors
/// If the write side is away.
pub async fn first_user(db: &Db) -> Result<Option<UserId>, StoreError> {
    db.transaction("first_user", async |tx| {
        Ok(users::first(tx, 1).await?.pop().map(|user| user.id))
    })
    .await
}

/// What is in the shop, oldest first; put there if there was nothing.
///
/// # Errors
/// If the write side is away, or refuses.
pub async fn fill(db: &Db) -> anyhow::Result<(Vec<User>, Vec<Product>)> {
    let (mut customers, mut catalogue) = read(db).await.context("failed to read the shop")?;
    let call = Call::now(Some(trace::new_trace()));
    if customers.is_empty() {
        for (name, email) in USERS {
            let cmd = CreateUser {
                name: name.into(),
                email: email.into(),
            };
            customers.push(create_user(db, &call, cmd).await?);
        }
    }
    if catalogue.is_empty() {
        let currency: Currency = "EUR".parse()?;
        for (name, description, minor, stock) in PRODUCTS {
            let price = Money { minor, currency };
            let (name, description) = (name.into(), description.into());
            let cmd = CreateProduct {
                name,
                description,
                price,
                stock,
            };
            catalogue.push(create_product(db, &call, cmd).await?.0);
        }
    }
    Ok((customers, catalogue))
}

async fn read(db: &Db) -> Result<(Vec<User>, Vec<Product>), StoreError> {
    db.transaction("seed", async |tx| {
        Ok((
            users::first(tx, SHOWN).await?,
            products::first(tx, SHOWN).await?,
        ))
    })
    .await
}

/// The text: what is there, and a first order to place.
fn text(customers: &[User], catalogue: &[Product], tokens: Option<&Tokens>, addr: &str) -> String {
    let mut text = String::from("In the shop:\n\n");
    for user in customers {
        let _ = writeln!(text, "  {}  {}", user.id, user.name); // writing to a String can not fail
    }
    for product in catalogue {
        let _ = writeln!(
            text,
            "  {}  {}, {}",
            product.id, product.name, product.price
        );
    }
    let Some(tokens) = tokens else {
        return text; // they come from somebody's login
    };
    text.push_str("\nTokens to try it with, good for 12 hours; the pages have them already:\n\n");
    for (role, token) in tokens.by_role() {
        let _ = writeln!(text, "  {:<9} {token}", role.word());
    }
    let Some(product) = catalogue.first() else {
        return text;
    };
    let mutation = format!(
        "mutation {{\n  createOrder(input: {{\n    lines: [{{ productId: \"{}\", quantity: 2 }}]\n  }}) {{\n    \
         order {{ id status total {{ amount currencyCode }} }}\n    errors {{ message code path }}\n  }}\n}}\n",
        product.id
    );
    let line = mutation.split_whitespace().collect::<Vec<_>>().join(" ");
    let body = serde_json::json!({ "query": line });
    let _ = write!(
        text,
        "\nA first order, to paste into http://{addr}/ :\n\n{mutation}\nThe same with curl:\n\n\
         curl -s http://{addr}/graphql -H 'content-type: application/json' -H 'authorization: Bearer {}' -d '{body}'\n",
        tokens.by_role()[0].1
    );
    text
}

#[cfg(test)]
mod tests {
    use shop_core::domain::{ProductId, Timestamp};
    use shop_core::runtime::Settings;

    use super::*;

    #[tokio::test]
    async fn the_mutation_that_is_printed_fits_the_schema() {
        let now = Timestamp::from_millis(0);
        let uuid = "01939f2e-7b1c-7def-8a34-5b6c7d8e9f01";
        let user_id: UserId = format!("user_{uuid}").parse().expect("an id");
        let product_id: ProductId = format!("product_{uuid}").parse().expect("an id");
        let user = User::create(user_id, now, "Ada", "ada@example.org").expect("a user");
        let price = Money {
            minor: 250,
            currency: "EUR".parse().expect("EUR"),
        };
        let product = Product::create(product_id, now, "Mug", "", price).expect("a product");
        let settings = Settings::read(&|_| None).expect("the defaults are valid");
        let signer = Signer::new(settings.environment, &settings.identity);
        let tokens = Tokens::sign(&signer.expect("a signer"), user.id).expect("tokens");
        let text = text(&[user], &[product], Some(&tokens), "127.0.0.1:4000");
        let (_, body) = text.split_once(" -d '").expect("a curl line");
        let (body, _) = body.split_once('\'').expect("its end");
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON in single quotes");
        let query = body["query"].as_str().expect("a query");
        let schema =
            apollo_compiler::Schema::parse_and_validate(crate::graphql::sdl(), "schema.graphql")
                .expect("the schema is valid");
        apollo_compiler::ExecutableDocument::parse_and_validate(&schema, query, "seed.graphql")
            .expect("the mutation is valid");
    }

    #[test]
    fn an_empty_shop_is_no_reason_to_fail() {
        assert!(text(&[], &[], None, "127.0.0.1:4000").starts_with("In the shop:"));
    }
}
