//! A client over HTTP that behaves as a real one: what was not sent is sent again, what may have been done is looked at
//! before it is done again.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use uuid::Uuid;

use super::answer::{Answer, Refusal};
use super::{Journal, Watch, documents};
use crate::check::evidence::{Acknowledged, Kind, Line, RefusedPayment};

/// How long one request may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long a client keeps trying.
const PATIENCE: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(150);

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

/// A client of one shop. A copy shares connections and journal.
#[derive(Debug, Clone)]
pub struct Shop {
    http: reqwest::Client,
    url: String,
    watch_url: String,
    journal: Journal,
    patient: bool,
}

impl Shop {
    /// The same client, whose subscribers ask again for an order that is not there yet: for shops where views may be late.
    #[must_use]
    pub fn patient(mut self) -> Self {
        self.patient = true;
        self
    }

    /// A client of the API at an address such as `127.0.0.1:4000`.
    ///
    /// # Errors
    /// If the HTTP client can not be made.
    pub fn new(address: &str, journal: Journal) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(DEADLINE)
            .no_proxy()
            .build()?;
        let (url, watch_url) = (
            format!("http://{address}/graphql"),
            format!("ws://{address}/graphql"),
        );
        Ok(Self {
            http,
            url,
            watch_url,
            journal,
            patient: false,
        })
    }

    /// Sends a document once.
    async fn send(&self, document: &str, variables: &Value) -> Result<Value, (bool, String)> {
        let body = json!({ "query": document, "variables": variables });
        let request = self.journal.sent(document, variables);
        let response = self.http.post(&self.url).json(&body).send().await;
        let answer = match response {
            Ok(response) => response.json().await,
            Err(error) => Err(error),
        };
        let answer = answer.map_err(|error: reqwest::Error| {
            (
                error.is_connect(),
                format!("{:#}", anyhow::Error::from(error)),
            )
        });
        let noted = answer.as_ref().map_err(|(_, problem)| problem.as_str());
        self.journal.answered(request, noted);
        answer
    }

    async fn mutate(&self, mutation: &str, document: &str, input: &Value) -> Answer {
        match self.send(document, &json!({ "input": input })).await {
            Ok(response) => Answer::from_response(mutation, &response),
            Err((true, error)) => Answer::NotSent(error),
            Err((false, error)) => Answer::Unknown(error),
        }
    }

    /// Asks until there is an answer.
    ///
    /// # Errors
    /// If there is none for a long time.
    pub async fn query(&self, document: &str, variables: Value) -> anyhow::Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let problem = match self.send(document, &variables).await {
                Ok(response) if response["errors"].is_null() => return Ok(response["data"].clone()),
                Ok(response) => response["errors"].to_string(),
                Err((_, error)) => error,
            };
            if Instant::now() > deadline {
                bail!("no answer for {PATIENCE:?}: {problem}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Creates or changes something that is no order; sent once, since nothing is killed then.
    ///
    /// # Errors
    /// If it is refused, or no answer comes.
    pub async fn manage(
        &self,
        mutation: &'static str,
        document: &str,
        input: Value,
        kind: Kind,
    ) -> anyhow::Result<Uuid> {
        let done = self.try_manage(mutation, document, input, kind).await?;
        done.with_context(|| format!("{mutation} was not answered"))
    }

    /// The same where answers may be lost: `None` if none came. Then it was done or not, and is not done again.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn try_manage(
        &self,
        mutation: &'static str,
        document: &str,
        input: Value,
        kind: Kind,
    ) -> anyhow::Result<Option<Uuid>> {
        let payload = match self.mutate(mutation, document, &input).await {
            Answer::Done(payload) => payload,
            Answer::NotSent(_) | Answer::Unknown(_) => return Ok(None),
            Answer::Refused(_, refusals) => bail!("{mutation} of {input}: {refusals:?}"),
        };
        let (field, known) = match kind {
            Kind::User => ("user", None),
            Kind::Product => ("product", None),
            _ => ("stock", input["productId"].as_str()),
        };
        let object = &payload[field];
        let id = bare_id(known.or(object["id"].as_str()))?;
        let version = Some(version(object)?);
        let acknowledged = Acknowledged {
            mutation,
            kind,
            id,
            version,
            status: None,
            reference: None,
        };
        self.journal.acknowledge(acknowledged);
        Ok(Some(id))
    }

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
        let lines: Vec<Value> = lines
            .iter()
            .map(|line| {
                json!({ "productId": format!("product_{}", line.product), "quantity": line.quantity })
            })
            .collect();
        let input = json!({ "customerId": format!("user_{customer}"), "lines": lines });
        let input = self.with_key(&input);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let sent = Instant::now();
            let answer = self.mutate("createOrder", documents::CREATE_ORDER, &input);
            let problem = match answer.await {
                Answer::Done(payload) => {
                    let answered = Instant::now();
                    let id = bare_id(payload["order"]["id"].as_str())?;
                    self.acknowledge_order("createOrder", id, &payload["order"], None)?;
                    self.ask_again("createOrder", documents::CREATE_ORDER, &input, &payload)
                        .await;
                    let watch = Watch::open(&self.watch_url, id, &self.journal, self.patient);
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

    /// The input with an idempotency key; a patient client sets one mostly, so that it may ask again.
    fn with_key(&self, input: &Value) -> Value {
        let mut input = input.clone();
        if self.patient && fastrand::u8(0..4) > 0 {
            let random = fastrand::u128(..).to_be_bytes();
            input["idempotencyKey"] = uuid::Builder::from_random_bytes(random)
                .into_uuid()
                .to_string()
                .into();
        }
        input
    }

    /// Notes the outcome under a key; and now and then asks again although it was answered: the outcome is the same.
    async fn ask_again(&self, mutation: &str, document: &str, input: &Value, payload: &Value) {
        let Some(key) = input["idempotencyKey"].as_str() else {
            return;
        };
        self.journal.outcome(key, &payload["order"]);
        if fastrand::u8(0..10) == 0
            && let Answer::Done(again) = self.mutate(mutation, document, input).await
        {
            self.journal.outcome(key, &again["order"]);
        }
    }

    /// Records a payment, with one reference however often it has to be sent. Returns when the last try was sent.
    ///
    /// # Errors
    /// If the API is away for a long time.
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
            .insist("payOrder", documents::PAY_ORDER, &input)
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

    /// Calls an order off.
    ///
    /// # Errors
    /// If the API is away for a long time.
    pub async fn cancel(&self, order: Uuid, reason: &str) -> anyhow::Result<(Step, Instant)> {
        let input = json!({ "orderId": format!("order_{order}"), "reason": reason });
        self.step(
            "cancelOrder",
            documents::CANCEL_ORDER,
            order,
            &input,
            "CANCELED",
        )
        .await
    }

    /// Moves an order to PROCESSING, SHIPPED or DELIVERED.
    ///
    /// # Errors
    /// If the API is away for a long time.
    pub async fn advance(&self, order: Uuid, to: &'static str) -> anyhow::Result<(Step, Instant)> {
        let input = json!({ "orderId": format!("order_{order}"), "status": to });
        self.step(
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
        mutation: &'static str,
        document: &str,
        order: Uuid,
        input: &Value,
        to: &str,
    ) -> anyhow::Result<(Step, Instant)> {
        let (answer, lost, sent) = self.insist(mutation, document, input).await?;
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

    /// Sends a mutation until it is answered. Out: the payload or the refusals; whether an answer was lost on the way;
    /// when it was sent last.
    async fn insist(
        &self,
        mutation: &str,
        document: &str,
        input: &Value,
    ) -> anyhow::Result<(Result<Value, (Value, Vec<Refusal>)>, bool, Instant)> {
        let deadline = Instant::now() + PATIENCE;
        let input = &self.with_key(input);
        let mut lost = false;
        loop {
            let sent = Instant::now();
            let problem = match self.mutate(mutation, document, input).await {
                Answer::Done(payload) => {
                    self.ask_again(mutation, document, input, &payload).await;
                    return Ok((Ok(payload), lost, sent));
                }
                Answer::Refused(_, refusals) if is_twin(&refusals) => {
                    "a twin is under way".to_owned()
                }
                Answer::Refused(payload, refusals) => {
                    return Ok((Err((payload, refusals)), lost, sent));
                }
                Answer::NotSent(error) => error,
                Answer::Unknown(error) => {
                    lost = true;
                    error
                }
            };
            if Instant::now() > deadline {
                bail!("{mutation} of {input} is not answered for {PATIENCE:?}: {problem}");
            }
            tokio::time::sleep(PAUSE).await;
        }
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

fn has_key(input: &Value) -> bool {
    input["idempotencyKey"].is_string()
}

/// Whether the same request is still being worked on.
fn is_twin(refusals: &[Refusal]) -> bool {
    refusals
        .iter()
        .any(|refusal| refusal.code == "IDEMPOTENCY_KEY_IN_USE")
}

fn refused(refusals: Vec<Refusal>) -> Step {
    let from = refusals.iter().find_map(|refusal| refusal.from.clone());
    let codes: Vec<String> = refusals.into_iter().map(|refusal| refusal.code).collect();
    Step::Refused(codes.join(" "), from)
}

fn version(object: &Value) -> anyhow::Result<u32> {
    let version = object["version"]
        .as_u64()
        .with_context(|| format!("{object} has no version"))?;
    Ok(u32::try_from(version)?)
}

fn status(order: &Value) -> Option<String> {
    order["status"].as_str().map(str::to_owned)
}

/// The UUID of a public id such as `order_0199…`.
fn bare_id(id: Option<&str>) -> anyhow::Result<Uuid> {
    let id = id.context("an answer without an id")?;
    let (_, uuid) = id
        .split_once('_')
        .with_context(|| format!("{id} is no id"))?;
    Uuid::try_parse(uuid).with_context(|| format!("{id} is no id"))
}
