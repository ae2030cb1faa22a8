//! A client over HTTP that behaves as a real one: what was not sent is sent again, what may have been done is looked at
//! before it is done again.

mod orders;

pub use orders::{Placed, Step};

use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};
use uuid::Uuid;

use super::answer::{Answer, Refusal};
use super::{Buyers, Journal, Token};
use crate::check::evidence::{Acknowledged, Kind};

/// How long one request may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long a client keeps trying.
const PATIENCE: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(150);

/// A client of one shop, for all who have something to do there. A copy shares connections, journal and buyers.
#[derive(Debug, Clone)]
pub struct Shop {
    http: reqwest::Client,
    url: String,
    address: String,
    journal: Journal,
    admin: Token,
    staff: Token,
    buyers: Buyers,
    patient: bool,
    always_keyed: bool,
}

impl Shop {
    /// The same client, whose subscribers ask again for an order that is not there yet: for shops where views may be late.
    #[must_use]
    pub fn patient(mut self) -> Self {
        self.patient = true;
        self
    }

    /// The same client, which sets an idempotency key on every mutation: each of them ends with an answer.
    #[must_use]
    pub fn always_keyed(&self) -> Self {
        let mut client = self.clone();
        client.always_keyed = true;
        client
    }

    /// A client of the API at an address such as `127.0.0.1:4000`.
    ///
    /// # Errors
    /// If the HTTP client can not be made, or no token be signed.
    pub fn new(address: &str, journal: Journal) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(DEADLINE)
            .no_proxy()
            .build()?;
        Ok(Self {
            http,
            url: format!("http://{address}/graphql"),
            address: address.to_owned(),
            journal,
            admin: Token::admin()?,
            staff: Token::staff()?,
            buyers: Buyers::default(),
            patient: false,
            always_keyed: false,
        })
    }

    /// Staff's token, for what is nobody's own.
    pub const fn staff(&self) -> &Token {
        &self.staff
    }

    /// Whose order it is.
    ///
    /// # Errors
    /// If the order was not placed by this client.
    pub fn customer_of(&self, order: Uuid) -> anyhow::Result<Uuid> {
        self.buyers.of(order)
    }

    /// The token of an order's buyer.
    ///
    /// # Errors
    /// If the order was not placed by this client.
    pub fn buyer(&self, order: Uuid) -> anyhow::Result<Token> {
        Token::customer(self.customer_of(order)?)
    }

    /// Sends a document once.
    async fn send(
        &self,
        token: &Token,
        document: &str,
        variables: &Value,
    ) -> Result<Value, (bool, String)> {
        let body = json!({ "query": document, "variables": variables });
        let request = self.journal.sent(document, variables);
        let response = self.http.post(&self.url).bearer_auth(token.as_str());
        let response = response.json(&body).send().await;
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
        if let Some(wait) = answer.as_ref().ok().and_then(asked_to_wait) {
            tokio::time::sleep(wait).await;
        }
        answer
    }

    async fn mutate(&self, token: &Token, mutation: &str, document: &str, input: &Value) -> Answer {
        let variables = json!({ "input": input });
        match self.send(token, document, &variables).await {
            Ok(response) => Answer::from_response(mutation, &response),
            Err((true, error)) => Answer::NotSent(error),
            Err((false, error)) => Answer::Unknown(error),
        }
    }

    /// Asks once. Out: the whole response.
    ///
    /// # Errors
    /// If none comes.
    pub async fn ask(
        &self,
        token: &Token,
        document: &str,
        variables: Value,
    ) -> anyhow::Result<Value> {
        let response = self.send(token, document, &variables).await;
        response.map_err(|(_, error)| anyhow!(error))
    }

    /// Asks until there is an answer.
    ///
    /// # Errors
    /// If there is none for a long time.
    pub async fn query(
        &self,
        token: &Token,
        document: &str,
        variables: Value,
    ) -> anyhow::Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let problem = match self.send(token, document, &variables).await {
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

    /// Creates or changes something that is no order, as an administrator; sent once, since nothing is killed then.
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
        let answer = self.mutate(&self.admin, mutation, document, &input);
        let payload = match answer.await {
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

    /// The input with an idempotency key; a patient client sets one mostly, so that it may ask again.
    fn with_key(&self, input: &Value) -> Value {
        if self.always_keyed || self.patient && fastrand::u8(0..4) > 0 {
            return keyed(input.clone());
        }
        input.clone()
    }

    /// Notes the outcome under a key; and now and then asks again although it was answered: the outcome is the same.
    async fn ask_again(
        &self,
        token: &Token,
        mutation: &str,
        document: &str,
        input: &Value,
        payload: &Value,
    ) {
        let Some(key) = input["idempotencyKey"].as_str() else {
            return;
        };
        self.journal.outcome(key, &payload["order"]);
        if fastrand::u8(0..10) == 0
            && let Answer::Done(again) = self.mutate(token, mutation, document, input).await
        {
            self.journal.outcome(key, &again["order"]);
        }
    }

    /// Sends a mutation until it is answered, with one token throughout: keys are its user's own. Out: the payload or the
    /// refusals; whether an earlier try may have done it unknown to this answer; when it was sent last.
    async fn insist(
        &self,
        token: &Token,
        mutation: &str,
        document: &str,
        input: &Value,
    ) -> anyhow::Result<(Result<Value, (Value, Vec<Refusal>)>, bool, Instant)> {
        let deadline = Instant::now() + PATIENCE;
        let input = &self.with_key(input);
        let mut lost = false;
        loop {
            let sent = Instant::now();
            let problem = match self.mutate(token, mutation, document, input).await {
                Answer::Done(payload) => {
                    self.ask_again(token, mutation, document, input, &payload)
                        .await;
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
                    // Under a key an earlier try that did it is what later ones are answered with.
                    lost = !has_key(input);
                    error
                }
            };
            if Instant::now() > deadline {
                bail!("{mutation} of {input} is not answered for {PATIENCE:?}: {problem}");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// How long a server that is full wants to be left alone, and up to as long again, so that not all come back together.
fn asked_to_wait(response: &Value) -> Option<Duration> {
    let wait = response["errors"][0]["extensions"]["retryAfterMs"].as_u64()?;
    Some(Duration::from_millis(wait + fastrand::u64(0..=wait)))
}

/// The input with an idempotency key.
fn keyed(mut input: Value) -> Value {
    let random = fastrand::u128(..).to_be_bytes();
    input["idempotencyKey"] = uuid::Builder::from_random_bytes(random)
        .into_uuid()
        .to_string()
        .into();
    input
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

fn version(object: &Value) -> anyhow::Result<u32> {
    let version = object["version"]
        .as_u64()
        .with_context(|| format!("{object} has no version"))?;
    Ok(u32::try_from(version)?)
}

/// The UUID of a public id such as `order_0199…`.
fn bare_id(id: Option<&str>) -> anyhow::Result<Uuid> {
    let id = id.context("an answer without an id")?;
    let (_, uuid) = id
        .split_once('_')
        .with_context(|| format!("{id} is no id"))?;
    Uuid::try_parse(uuid).with_context(|| format!("{id} is no id"))
}
