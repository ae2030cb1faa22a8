"""gql, the Python client: both WebSocket protocols, and HTTP."""

import asyncio
import os
import unittest
import uuid

from gql import Client, gql
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.exceptions import TransportConnectionFailed, TransportQueryError
from gql.transport.websockets import WebsocketsTransport

ADDRESS = os.environ["SHOP_ADDRESS"]
# An administrator and somebody of the staff, as headers over HTTP and as the payload of connection_init over a WebSocket.
ADMIN, STAFF = ({"authorization": f"Bearer {os.environ[name]}"} for name in ("SHOP_TOKEN", "SHOP_STAFF_TOKEN"))
HTTP, WS = f"http://{ADDRESS}/graphql", f"ws://{ADDRESS}/graphql"
BOUND = 30
STATUS = gql(
    """
    subscription ($orderId: ID!, $after: String) {
      orderStatusChanged(orderId: $orderId, after: $after) { kind cursor version status order { version status } }
    }
    """
)
JOURNEY = ["PENDING", "CONFIRMED", "PAID", "PROCESSING", "SHIPPED", "DELIVERED"]


async def ask(document, headers=ADMIN, **variables):
    async with Client(transport=AIOHTTPTransport(url=HTTP, headers=headers)) as session:
        query = gql(document)
        query.variable_values = variables
        return await session.execute(query)


async def place():
    made = await ask(
        """
        mutation ($user: CreateUserInput!, $product: CreateProductInput!) {
          createUser(input: $user) { user { id } }
          createProduct(input: $product) { product { id } }
        }
        """,
        user={"name": "A customer", "email": f"{uuid.uuid4()}@example.org"},
        product={"name": "A cup", "price": {"amount": "4.50", "currencyCode": "EUR"}, "stock": 10},
    )
    customer, product = made["createUser"]["user"]["id"], made["createProduct"]["product"]["id"]
    placed = await ask(
        "mutation ($input: CreateOrderInput!) { createOrder(input: $input) { order { id } errors { message } } }",
        input={"onBehalfOf": customer, "lines": [{"productId": product, "quantity": 1}]},
    )
    return placed["createOrder"]["order"]["id"]


async def move(order, status):
    if status == "PAID":
        kind, mutation = "PayOrderInput", "payOrder"
        given = {"orderId": order, "method": "card", "reference": str(uuid.uuid4())}
    else:
        kind, mutation = "UpdateOrderStatusInput", "updateOrderStatus"
        given = {"orderId": order, "status": status}
    document = f"mutation ($input: {kind}!) {{ done: {mutation}(input: $input) {{ errors {{ message }} }} }}"
    done = await ask(document, headers=STAFF, input=given)
    assert done["done"]["errors"] == [], done


def subscription(order, after=None):
    request = gql(STATUS.document) if hasattr(STATUS, "document") else STATUS
    request.variable_values = {"orderId": order, "after": after}
    return request


class Gql(unittest.IsolatedAsyncioTestCase):
    async def follow(self, protocol, order, after, until):
        """The items up to a status; staff take the order along as soon as it is confirmed."""
        items = []
        transport = WebsocketsTransport(url=WS, subprotocols=[protocol], init_payload=ADMIN)
        async with asyncio.timeout(BOUND), Client(transport=transport) as session:
            async for answer in session.subscribe(subscription(order, after)):
                item = answer["orderStatusChanged"]
                items.append(item)
                if item["status"] == until:
                    return items
                place_now = JOURNEY.index(item["status"])
                if item["kind"] != "MISSED" and place_now > 0:
                    await move(order, JOURNEY[place_now + 1])
        self.fail(f"it ended before {until}: {items}")

    async def journey(self, protocol):
        order = await place()
        items = await self.follow(protocol, order, None, "PAID")
        for status in ["PROCESSING", "SHIPPED"]:
            await move(order, status)
        shown = "query ($id: ID!) { order(id: $id, minVersion: 5) { version } }"
        self.assertEqual((await ask(shown, id=order))["order"]["version"], 5)
        cursor = items[-1]["cursor"]
        missed = await self.follow(protocol, order, cursor, "SHIPPED")
        self.assertEqual([item["kind"] for item in missed], ["MISSED", "MISSED"])
        items += missed
        first = items[0]["version"]
        self.assertEqual([item["version"] for item in items], list(range(first, 6)))
        for item in items:
            self.assertEqual(item["status"], JOURNEY[item["version"] - 1])
            self.assertEqual(item["order"], {"version": item["version"], "status": item["status"]})

    async def test_graphql_transport_ws(self):
        await self.journey(WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL)

    async def test_the_older_protocol(self):
        await self.journey(WebsocketsTransport.APOLLO_SUBPROTOCOL)

    async def test_a_refusal_is_an_error_with_its_code(self):
        order = await place()
        async with asyncio.timeout(BOUND), Client(transport=WebsocketsTransport(url=WS, init_payload=ADMIN)) as session:
            with self.assertRaises(TransportQueryError) as raised:
                async for _ in session.subscribe(subscription(order, "no cursor")):
                    self.fail("an answer")
        self.assertEqual(raised.exception.errors[0]["extensions"]["code"], "INVALID_CURSOR")

    async def test_without_a_token_a_request_is_answered_with_401_and_a_socket_closed_with_4403(self):
        with self.assertRaises(TransportQueryError) as raised:
            await ask("{ __typename }", headers={})
        self.assertEqual(raised.exception.errors[0]["extensions"]["code"], "UNAUTHENTICATED")
        for protocol in [WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL, WebsocketsTransport.APOLLO_SUBPROTOCOL]:
            transport = WebsocketsTransport(url=WS, subprotocols=[protocol])
            with self.assertRaises(TransportConnectionFailed) as raised:
                async with Client(transport=transport):
                    self.fail("it was let in")
            self.assertEqual(raised.exception.__cause__.rcvd.code, 4403)


if __name__ == "__main__":
    unittest.main()
