//! The GraphQL documents that the clients send.

/// What every mutation about an order asks for.
macro_rules! order_mutation {
    ($name:literal, $input:literal) => {
        concat!(
            "mutation($input: ",
            $input,
            "!) { ",
            $name,
            "(input: $input) { order { id version status } ",
            "errors { code message path ... on IllegalTransitionError { from to } } } }"
        )
    };
}

/// `createUser`.
pub const CREATE_USER: &str = "mutation($input: CreateUserInput!) { createUser(input: $input) { \
     user { id version } errors { code message } } }";
/// `updateUser`.
pub const UPDATE_USER: &str = "mutation($input: UpdateUserInput!) { updateUser(input: $input) { \
     user { id version } errors { code message } } }";
/// `createProduct`.
pub const CREATE_PRODUCT: &str = "mutation($input: CreateProductInput!) { createProduct(input: $input) { \
     product { id version } errors { code message } } }";
/// `updateProduct`.
pub const UPDATE_PRODUCT: &str = "mutation($input: UpdateProductInput!) { updateProduct(input: $input) { \
     product { id version } errors { code message } } }";
/// `adjustStock`.
pub const ADJUST_STOCK: &str = "mutation($input: AdjustStockInput!) { adjustStock(input: $input) { \
     stock { version onHand reserved available } errors { code message } } }";
/// `createOrder`.
pub const CREATE_ORDER: &str = order_mutation!("createOrder", "CreateOrderInput");
/// `payOrder`.
pub const PAY_ORDER: &str = order_mutation!("payOrder", "PayOrderInput");
/// `cancelOrder`.
pub const CANCEL_ORDER: &str = order_mutation!("cancelOrder", "CancelOrderInput");
/// `updateOrderStatus`.
pub const UPDATE_ORDER_STATUS: &str =
    order_mutation!("updateOrderStatus", "UpdateOrderStatusInput");

/// An order as the view has it.
pub const ORDER: &str = "query($id: ID!) { order(id: $id) { id version status \
     shortages { productId requested available } payments { reference state } } }";
/// The same, at this version or a newer one.
pub const ORDER_AT_LEAST: &str = "query($id: ID!, $minVersion: Int!) { order(id: $id, minVersion: $minVersion) { id version status } }";
/// A product with its stock.
pub const PRODUCT: &str =
    "query($id: ID!) { product(id: $id) { id stock { version onHand reserved available } } }";

/// Every status of one order.
pub const ORDER_STATUS_CHANGED: &str = "subscription($orderId: ID!) { orderStatusChanged(orderId: $orderId) { \
     orderId version previousStatus status at order { version status } } }";
