//! Placing orders, and moving them along.

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::bail;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{PATIENCE, PAUSE, Shop, bare_id, has_key, is_twin, keyed, version};
use crate::check::evidence::{Acknowledged, Kind, Line, RefusedPayment};
use crate::client::answer::{Answer, Refusal};
use crate::client::{Token, Watch, documents};

/// An order that was placed.
#[derive(Debug)]
pub struct Placed {
    /// Which.
    pub id: Uuid,
    /// When the mutation was sent.
    pub sent: Instant,
    /// When its answer came.
    pub answered: Instant,
    /// Its subscriber, opened right after the answer.
    pub watch: Watch,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It was done, now or by an earlier try.
    Done,
    /// It was refused: the code, and the status at that time if it said so.
    Refused(String, Option<String>),
}

/// The input of `createOrder`; the customer is who sends it.
fn new_order(lines: &[Line]) -> Value {
    let line = |line: &Line| json!({ "productId": format!("product_{}", line.product), "quantity": line.quantity });
    let lines: Vec<Value> = lines.iter().map(line).collect();
    json!({ "lines": lines })
}

impl Shop {
    /// Places an order and subscribes to it. `None` if no answer came and it has no key: then it exists or not, and is not
    /// sent again.
    ///
    /// # Errors
    /// If it is refused, or the API is away for a long time.
    pub async fn create_order(
        &self,
        customer: Uuid,
        lines: &[Line],
    ) -> anyhow::Result<Option<Placed>> {
        let token = &Token::customer(customer)?;
        let input = self.with_key(&new_order(lines));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let sent = Instant::now();
            let (mutation, document) = ("createOrder", documents::CREATE_ORDER);
            let answer = self.mutate(token, mutation, document, &input);
            let problem = match answer.await {
                Answer::Done(payload) => {
                    let answered = Instant::now();
                    let id = bare_id(payload["order"]["id"].as_str())?;
                    self.buyers.note(id, customer);
                    self.acknowledge_order(mutation, id, &payload["order"], None)?;
                    self.ask_again(token, mutation, document, &input, &payload)
                        .await;
                    let watch = self.watch_order(id)?;
                    return Ok(Some(Placed {
                        id,
                        sent,
                        answered,
                        watch,
                    }));
                }
                Answer::Refused(_, refusals) if !is_twin(&refusals) => {
                    bail!("createOrder of {input}: {refusals:?}")
                }
                Answer::Unknown(instead) if !has_key(&input) => {
                    self.journal.lose_order(instead);
                    return Ok(None);
                }
                Answer::Unknown(error) | Answer::NotSent(error) => error,
                Answer::Refused(..) => "a twin is under way".to_owned(),
            };
            if Instant::now() > deadline {
                if has_key(&input) {
                    self.journal.lose_order(problem.clone());
                }
                bail!("createOrder is not answered for {PATIENCE:?}: {problem}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Places orders with one request, each under a key, until it is answered; nobody subscribes. Out: the id and version
    /// of each.
    ///
    /// # Errors
    /// If one is refused, or the API is away for a long time.
    pub async fn place_orders(
        &self,
        customer: Uuid,
        orders: &[Vec<Line>],
    ) -> anyhow::Result<Vec<(Uuid, u32)>> {
        let token = &Token::customer(customer)?;
        let (mut declared, mut fields) = (String::new(), String::new());
        let mut variables = serde_json::Map::new();
        for (number, lines) in orders.iter().enumerate() {
            let _ = write!(declared, "$i{number}: CreateOrderInput! ");
            let _ = write!(
                fields,
                "m{number}: createOrder(input: $i{number}) {{ order {{ id version status }} errors {{ code message }} }} "
            );
            variables.insert(format!("i{number}"), keyed(new_order(lines)));
        }
        let document = format!("mutation({declared}) {{ {fields} }}");
        let variables = variables.into();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let problem = match self.send(token, &document, &variables).await {
                Ok(response) => match self.placed(orders.len(), &response)? {
                    Ok(placed) => {
                        for (id, _) in &placed {
                            self.buyers.note(*id, customer);
                        }
                        return Ok(placed);
                    }
                    Err(problem) => problem,
                },
                Err((_, error)) => error,
            };
            if Instant::now() > deadline {
                bail!("orders are not placed for {PATIENCE:?}: {problem}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The orders of a response to many `createOrder`, or why it is to be asked for again.
    fn placed(
        &self,
        count: usize,
        response: &Value,
    ) -> anyhow::Result<Result<Vec<(Uuid, u32)>, String>> {
        let mut placed = Vec::with_capacity(count);
        for number in 0..count {
            let payload = match Answer::from_response(&format!("m{number}"), response) {
                Answer::Done(payload) => payload,
                Answer::Refused(_, refusals) if !is_twin(&refusals) => {
                    bail!("an order was not placed: {refusals:?}")
                }
                Answer::Refused(..) => return Ok(Err("a twin is under way".to_owned())),
                Answer::NotSent(error) | Answer::Unknown(error) => return Ok(Err(error)),
            };
            let order = &payload["order"];
            placed.push((bare_id(order["id"].as_str())?, version(order)?));
        }
        for (number, (id, _)) in placed.iter().enumerate() {
            let order = &response["data"][format!("m{number}")]["order"];
            self.acknowledge_order("createOrder", *id, order, None)?;
        }
        Ok(Ok(placed))
    }

    /// Subscribes the buyer of an order to it.
    ///
    /// # Errors
    /// If the order was not placed by this client.
    pub fn watch_order(&self, order: Uuid) -> anyhow::Result<Watch> {
        let token = self.buyer(order)?;
        let (journal, patient) = (&self.journal, self.patient);
        Ok(Watch::open(&self.address, &token, order, journal, patient))
    }

    /// Its buyer pays an order, with one reference however often it has to be sent. Returns when the last try was sent.
    ///
    /// # Errors
    /// If the API is away for a long time, or the order was not placed by this client.
    pub async fn pay(&self, order: Uuid) -> anyhow::Result<(Step, Instant)> {
        let reference = format!("demo-{:032x}", fastrand::u128(..));
        let input = json!({ "orderId": format!("order_{order}"), "method": "card", "reference": reference });
        let paid = |version, status| Acknowledged {
            mutation: "payOrder",
            kind: Kind::Order,
            id: order,
            version,
            status,
            reference: Some(reference.clone()),
        };
        let (answer, lost, sent) = self
            .insist(
                &self.buyer(order)?,
                "payOrder",
                documents::PAY_ORDER,
                &input,
            )
            .await?;
        let step = match answer {
            Ok(payload) => {
                let (version, status) = (version(&payload["order"])?, status(&payload["order"]));
                self.journal.acknowledge(paid(Some(version), status));
                Step::Done
            }
            Err((payload, refusals)) => {
                let codes: Vec<&str> = refusals.iter().map(|r| r.code.as_str()).collect();
                let repeat = ["ALREADY_PAID", "PAYMENT_REFERENCE_USED"];
                if codes.contains(&"REFUND_DUE") {
                    // Recorded all the same; the order was canceled before.
                    self.journal
                        .acknowledge(paid(Some(version(&payload["order"])?), None));
                } else if lost && codes.iter().any(|code| repeat.contains(code)) {
                    // An earlier try did it: the check looks for the payment under this reference.
                    self.journal
                        .acknowledge(paid(None, Some("PAID".to_owned())));
                    return Ok((Step::Done, sent));
                } else if !lost {
                    let code = codes.join(" ");
                    if code == "PAYMENT_REFERENCE_USED" {
                        let problem = format!("{code} for the fresh reference {reference}");
                        self.journal.wonder(problem);
                    }
                    let reference = reference.clone();
                    self.journal.refuse_payment(RefusedPayment {
                        order,
                        reference,
                        code,
                    });
                }
                refused(refusals)
            }
        };
        Ok((step, sent))
    }

    /// Its buyer calls an order off.
    ///
    /// # Errors
    /// If the API is away for a long time, or the order was not placed by this client.
    pub async fn cancel(&self, order: Uuid, reason: &str) -> anyhow::Result<(Step, Instant)> {
        let input = json!({ "orderId": format!("order_{order}"), "reason": reason });
        self.step(
            &self.buyer(order)?,
            "cancelOrder",
            documents::CANCEL_ORDER,
            order,
            &input,
            "CANCELED",
        )
        .await
    }

    /// Staff move an order to PROCESSING, SHIPPED or DELIVERED.
    ///
    /// # Errors
    /// If the API is away for a long time.
    pub async fn advance(&self, order: Uuid, to: &'static str) -> anyhow::Result<(Step, Instant)> {
        let input = json!({ "orderId": format!("order_{order}"), "status": to });
        self.step(
            &self.staff,
            "updateOrderStatus",
            documents::UPDATE_ORDER_STATUS,
            order,
            &input,
            to,
        )
        .await
    }

    async fn step(
        &self,
        token: &Token,
        mutation: &'static str,
        document: &str,
        order: Uuid,
        input: &Value,
        to: &str,
    ) -> anyhow::Result<(Step, Instant)> {
        let (answer, lost, sent) = self.insist(token, mutation, document, input).await?;
        let step = match answer {
            Ok(payload) => {
                self.acknowledge_order(mutation, order, &payload["order"], None)?;
                Step::Done
            }
            // An earlier try whose answer was lost did it.
            Err((_, refusals))
                if lost && refusals.iter().any(|r| r.from.as_deref() == Some(to)) =>
            {
                self.journal.acknowledge(Acknowledged {
                    mutation,
                    kind: Kind::Order,
                    id: order,
                    version: None,
                    status: Some(to.to_owned()),
                    reference: None,
                });
                Step::Done
            }
            Err((_, refusals)) => refused(refusals),
        };
        Ok((step, sent))
    }

    fn acknowledge_order(
        &self,
        mutation: &'static str,
        id: Uuid,
        order: &Value,
        reference: Option<String>,
    ) -> anyhow::Result<()> {
        let (version, status) = (Some(version(order)?), status(order));
        let kind = Kind::Order;
        self.journal.acknowledge(Acknowledged {
            mutation,
            kind,
            id,
            version,
            status,
            reference,
        });
        Ok(())
    }
}

fn refused(refusals: Vec<Refusal>) -> Step {
    let from = refusals.iter().find_map(|refusal| refusal.from.clone());
    let codes: Vec<String> = refusals.into_iter().map(|refusal| refusal.code).collect();
    Step::Refused(codes.join(" "), from)
}

fn status(order: &Value) -> Option<String> {
    order["status"].as_str().map(str::to_owned)
}
