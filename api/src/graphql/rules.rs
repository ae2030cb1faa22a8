//! Who may do what, field by field. Nothing else decides it: `check` refuses what a role may not ask at all, and resolvers reach
//! as far as [`Caller::scope`](crate::identity::Caller::scope) says.
//!
//! To add a field: its place in [`RULES`]. A test fails for a field without one.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use async_graphql::Positioned;
use async_graphql::parser::types::{
    ExecutableDocument, OperationDefinition, OperationType, Selection, SelectionSet,
};

use crate::identity::Role;

/// Who may ask for a field, and whose things it shows or changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Everybody, and it is the same for all.
    Anyone,
    /// Everybody: their own, and from this role on everybody's. Somebody else's does not exist.
    Own(Role),
    /// From this role on.
    From(Role),
    /// Whoever was shown the object that it belongs to, by the rule of the field that led there.
    Shown,
}

use Role::{Admin, Staff};
use Rule::{Anyone, From, Own, Shown};

/// The rule of every field, by type.
#[rustfmt::skip]
pub const RULES: &[(&str, Rule, &[&str])] = &[
    ("Query", Own(Staff), &["node", "nodes", "order", "orders", "user"]),
    ("Query", From(Staff), &["users"]),
    ("Query", Anyone, &["product", "products"]),

    ("Mutation", Own(Staff), &["cancelOrder", "createOrder", "payOrder"]),
    ("Mutation", Own(Admin), &["deleteUser", "updateUser"]),
    ("Mutation", From(Staff), &["deleteOrder", "updateOrderStatus"]),
    ("Mutation", From(Admin), &["adjustStock", "createProduct", "createUser", "deleteProduct", "updateProduct"]),

    ("Subscription", Own(Staff), &["orderStatusChanged", "orderUpdates"]),
    ("Subscription", Anyone, &["stockLevelChanged"]),

    // An order leads to its customer and a customer to its orders: whoever owns one owns the others.
    ("Order", Own(Staff), &["customer"]),
    ("User", Own(Staff), &["orders"]),

    ("AdjustStockPayload", Shown, &["errors", "stock"]),
    ("AlreadyPaidError", Shown, &["code", "message", "path"]),
    ("CancelOrderPayload", Shown, &["errors", "order"]),
    ("CreateOrderPayload", Shown, &["errors", "order"]),
    ("CreateProductPayload", Shown, &["errors", "product"]),
    ("CreateUserPayload", Shown, &["errors", "user"]),
    ("DeleteOrderPayload", Shown, &["deletedId", "errors"]),
    ("DeleteProductPayload", Shown, &["deletedId", "errors"]),
    ("DeleteUserPayload", Shown, &["deletedId", "errors"]),
    ("EmailTakenError", Shown, &["code", "message", "path"]),
    ("IdempotencyKeyInUseError", Shown, &["code", "message", "path", "retryAfterMs"]),
    ("IdempotencyKeyReusedError", Shown, &["code", "message", "path"]),
    ("IllegalTransitionError", Shown, &["allowed", "code", "from", "message", "path", "to"]),
    ("InvalidInputError", Shown, &["code", "message", "path"]),
    ("Money", Shown, &["amount", "currencyCode"]),
    ("NotFoundError", Shown, &["code", "id", "message", "path"]),
    ("Order", Shown, &["createdAt", "customerId", "customerName", "id", "items", "nextStatuses", "payments", "shortages", "status", "timeline", "total", "updatedAt", "version"]),
    ("OrderConnection", Shown, &["edges", "nodes", "pageInfo"]),
    ("OrderEdge", Shown, &["cursor", "node"]),
    ("OrderItem", Shown, &["lineTotal", "product", "productId", "productName", "quantity", "unitPrice"]),
    ("OrderOpenError", Shown, &["code", "message", "path", "status"]),
    ("OrderStatusChange", Shown, &["at", "cursor", "kind", "order", "orderId", "previousStatus", "reason", "status", "version"]),
    ("OrderUpdate", Shown, &["change", "cursor", "kind", "since"]),
    ("PageInfo", Shown, &["endCursor", "hasNextPage", "hasPreviousPage", "startCursor"]),
    ("PayOrderPayload", Shown, &["errors", "order"]),
    ("Payment", Shown, &["amount", "method", "recordedAt", "reference", "state"]),
    ("PaymentReferenceUsedError", Shown, &["code", "message", "path"]),
    ("PriceChangedError", Shown, &["actual", "code", "expected", "message", "path"]),
    ("Product", Shown, &["createdAt", "description", "id", "name", "price", "stock", "updatedAt", "version"]),
    ("ProductConnection", Shown, &["edges", "nodes", "pageInfo"]),
    ("ProductEdge", Shown, &["cursor", "node"]),
    ("ProductHeldError", Shown, &["code", "message", "path", "reserved"]),
    ("RefundDueError", Shown, &["code", "message", "path"]),
    ("StockLevel", Shown, &["available", "onHand", "reserved", "version"]),
    ("StockLevelChange", Shown, &["kind", "productId", "stock"]),
    ("StockReservedError", Shown, &["available", "code", "message", "onHand", "path", "reserved"]),
    ("StockShortage", Shown, &["available", "product", "productId", "requested"]),
    ("TimelineEntry", Shown, &["actor", "at", "from", "reason", "to", "version"]),
    ("TooManyPaymentsError", Shown, &["code", "limit", "message", "path"]),
    ("UpdateOrderStatusPayload", Shown, &["errors", "order"]),
    ("UpdateProductPayload", Shown, &["errors", "product"]),
    ("UpdateUserPayload", Shown, &["errors", "user"]),
    ("User", Shown, &["createdAt", "email", "id", "name", "updatedAt", "version"]),
    ("UserConnection", Shown, &["edges", "nodes", "pageInfo"]),
    ("UserEdge", Shown, &["cursor", "node"]),
    ("UserHasOpenOrdersError", Shown, &["code", "message", "openOrders", "path"]),
    ("VersionMismatchError", Shown, &["code", "currentVersion", "expectedVersion", "message", "path"]),
];

/// A field that a role may not ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forbidden {
    /// The field.
    pub field: String,
    /// Whose it is.
    pub needed: Role,
    /// Who asked.
    pub role: Role,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (needed, role) = (self.needed.word(), self.role.word());
        let field = &self.field;
        write!(
            f,
            "{field} needs a token of role {needed}; this one's is {role}"
        )
    }
}

static BY_FIELD: LazyLock<HashMap<(&'static str, &'static str), Rule>> = LazyLock::new(|| {
    let all = RULES
        .iter()
        .flat_map(|(ty, rule, fields)| fields.iter().map(move |field| ((*ty, *field), *rule)));
    all.collect()
});

/// Looks at the fields of the root: whatever is below them was shown by one of them.
///
/// # Errors
/// The first that the role may not ask for.
pub fn check(
    document: &ExecutableDocument,
    operation: &OperationDefinition,
    role: Role,
) -> Result<(), Forbidden> {
    let root = match operation.ty {
        OperationType::Query => "Query",
        OperationType::Mutation => "Mutation",
        OperationType::Subscription => "Subscription",
    };
    let mut walk = Walk {
        document,
        root,
        role,
        entered: Vec::new(),
    };
    walk.selections(&operation.selection_set)
}

struct Walk<'a> {
    document: &'a ExecutableDocument,
    root: &'static str,
    role: Role,
    /// Fragments that were looked at: each once, whether or not it leads back to itself.
    entered: Vec<&'a str>,
}

impl<'a> Walk<'a> {
    fn selections(&mut self, set: &'a Positioned<SelectionSet>) -> Result<(), Forbidden> {
        for item in &set.node.items {
            match &item.node {
                Selection::Field(field) => self.field(&field.node.name.node)?,
                Selection::InlineFragment(fragment) => {
                    self.selections(&fragment.node.selection_set)?;
                }
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    if self.entered.contains(&name.as_str()) {
                        continue;
                    }
                    self.entered.push(name);
                    if let Some(fragment) = self.document.fragments.get(name) {
                        self.selections(&fragment.node.selection_set)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// What has no rule is no field of the schema, which validation says in better words.
    fn field(&self, name: &str) -> Result<(), Forbidden> {
        match BY_FIELD.get(&(self.root, name)) {
            Some(From(needed)) if self.role < *needed => Err(Forbidden {
                field: name.to_owned(),
                needed: *needed,
                role: self.role,
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use apollo_compiler::schema::ExtendedType;

    use super::*;

    #[test]
    fn every_field_of_the_schema_has_one_rule_and_no_rule_is_of_no_field() {
        let schema = apollo_compiler::Schema::parse_and_validate(crate::graphql::sdl(), "schema");
        let schema = schema.expect("the schema is valid");
        let mut rules: BTreeMap<(String, String), usize> = BTreeMap::new();
        for (ty, _, fields) in RULES {
            for field in *fields {
                *rules
                    .entry(((*ty).to_owned(), (*field).to_owned()))
                    .or_default() += 1;
            }
        }
        let mut forgotten = Vec::new();
        for (name, ty) in &schema.types {
            let ExtendedType::Object(object) = ty else {
                continue;
            };
            if name.starts_with("__") {
                continue;
            }
            for field in object.fields.keys() {
                let place = (name.to_string(), field.to_string());
                if rules.remove(&place) != Some(1) {
                    forgotten.push(place);
                }
            }
        }
        assert!(
            forgotten.is_empty(),
            "without a rule, or with two: {forgotten:#?}"
        );
        assert!(rules.is_empty(), "of no field: {rules:#?}");
    }

    fn refused(query: &str, role: Role) -> Option<String> {
        let document = async_graphql::parser::parse_query(query).expect("a document");
        let (_, operation) = document.operations.iter().next().expect("an operation");
        check(&document, &operation.node, role)
            .err()
            .map(|it| it.field)
    }

    #[test]
    fn a_field_is_found_wherever_a_document_hides_it() {
        for query in [
            "{ users { nodes { id } } }",
            "{ a: product(id: 1) { id } b: users { nodes { id } } }",
            "{ ... { ... on Query { users { nodes { id } } } } }",
            "{ ...a } fragment a on Query { ...b ...a } fragment b on Query { ...a users { id } }",
            "{ users @skip(if: true) { id } }",
        ] {
            assert_eq!(
                refused(query, Role::Customer).as_deref(),
                Some("users"),
                "{query}"
            );
            assert_eq!(refused(query, Role::Staff), None, "{query}");
        }
        let admins = "mutation { deleteProduct(input: {}) { deletedId } }";
        assert_eq!(
            refused(admins, Role::Staff).as_deref(),
            Some("deleteProduct")
        );
        assert_eq!(refused(admins, Role::Admin), None);
        assert_eq!(refused("{ __typename users2 }", Role::Customer), None);
    }
}
