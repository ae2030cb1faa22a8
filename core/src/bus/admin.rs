//! Making topics, and removing them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;

use super::BusError;
use super::client::{Quiet, config};
use crate::events::{Channel, Topic};
use crate::runtime::settings::KafkaSettings;

/// How long all of it may take; a broker that does not answer is asked again until then.
const BOUND: Duration = Duration::from_secs(30);
/// How long one question to a broker may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How long after one look at the topics comes the next.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long after a try that failed comes the next.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// What [`ensure_topics`] found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topics {
    /// Made now.
    pub created: Vec<Channel>,
    /// There already, with another number of partitions than the settings say: that number. It was left alone, since a key's records would change
    /// partition and lose their order.
    pub other_partitions: Vec<(Topic, i32)>,
}

/// Makes every topic that is missing, and waits until each has a leader. What is there is left as it is.
///
/// # Errors
/// [`BusError::Unavailable`] if the broker does not answer, or not all topics are ready, within 30 s.
pub async fn ensure_topics(settings: &KafkaSettings) -> Result<Topics, BusError> {
    create_topics(settings, &Channel::all().collect::<Vec<_>>()).await
}

/// The same for some of the topics.
///
/// # Errors
/// See [`ensure_topics`].
pub async fn create_topics(
    settings: &KafkaSettings,
    wanted: &[Channel],
) -> Result<Topics, BusError> {
    let mut created = Vec::new();
    let other_partitions = until_done("topics were not ready", async || {
        let admin = admin(settings)?;
        let before = partitions(&admin, settings).await?;
        let missing: Vec<_> = wanted
            .iter()
            .copied()
            .filter(|topic| !before.contains_key(topic))
            .collect();
        created.extend(create(&admin, settings, &missing).await?);
        while !missing.is_empty() {
            let now = partitions(&admin, settings).await?;
            if missing.iter().all(|topic| now.contains_key(topic)) {
                break;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let records = before
            .into_iter()
            .filter_map(|(channel, count)| match channel {
                Channel::Records(topic) => Some((topic, count)),
                Channel::DeadLetters(_) => None,
            });
        let others = records.filter(|&(topic, count)| {
            wanted.contains(&topic.into()) && count != settings.partitions
        });
        Ok(others.collect())
    })
    .await?;
    let topics = Topics {
        created,
        other_partitions,
    };
    for topic in &topics.created {
        tracing::info!("created topic {}", settings.topics.name(*topic));
    }
    for (topic, count) in &topics.other_partitions {
        let name = settings.topics.name(*topic);
        tracing::warn!(
            "topic {name} has {count} partitions, not {}: left as it is",
            settings.partitions
        );
    }
    Ok(topics)
}

/// Removes topics with all that is in them, and waits until no broker knows them; one that is not there is no error.
///
/// # Errors
/// [`BusError::Unavailable`] if the broker does not answer, or still knows them, after 30 s.
pub async fn delete_topics(settings: &KafkaSettings, topics: &[Channel]) -> Result<(), BusError> {
    until_done("topics were not gone", async || {
        let admin = admin(settings)?;
        delete(&admin, settings, topics).await?;
        while partitions(&admin, settings)
            .await?
            .keys()
            .any(|there| topics.contains(there))
        {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    })
    .await
}

/// Tries until it is done, or for as long as all may take. Each try finds what an earlier one did whose answer was lost.
async fn until_done<T>(
    if_not: &str,
    mut attempt: impl AsyncFnMut() -> Result<T, BusError>,
) -> Result<T, BusError> {
    let mut last = anyhow!("{if_not} within {BOUND:?}");
    let trying = async {
        loop {
            match attempt().await {
                Err(BusError::Unavailable(error)) => last = error.context(if_not.to_owned()),
                done => return done,
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    };
    let done = tokio::time::timeout(BOUND, trying).await;
    done.unwrap_or_else(|_| Err(BusError::Unavailable(last)))
}

type Admin = Arc<AdminClient<Quiet>>;

fn admin(settings: &KafkaSettings) -> Result<Admin, BusError> {
    let admin = config(settings, "shop-admin").create_with_context(Quiet);
    admin.map(Arc::new).map_err(BusError::creation)
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(ANSWER))
        .operation_timeout(Some(ANSWER))
}

/// A topic as it is made.
struct Shape {
    name: String,
    partitions: i32,
    replication: i32,
    retention: String,
    max_message_bytes: Option<String>,
}

impl Shape {
    fn of(channel: Channel, settings: &KafkaSettings) -> Self {
        Self {
            name: settings.topics.name(channel),
            partitions: match channel {
                Channel::Records(_) => settings.partitions,
                // So few that one will do, and in one they are in order.
                Channel::DeadLetters(_) => 1,
            },
            replication: settings.replication,
            retention: channel.retention_ms().to_string(),
            max_message_bytes: channel.max_message_bytes().map(|bytes| bytes.to_string()),
        }
    }

    fn as_new(&self) -> NewTopic<'_> {
        let new = NewTopic::new(
            &self.name,
            self.partitions,
            TopicReplication::Fixed(self.replication),
        )
        .set("cleanup.policy", "delete")
        .set("retention.ms", &self.retention);
        match &self.max_message_bytes {
            Some(bytes) => new.set("max.message.bytes", bytes),
            None => new,
        }
    }
}

async fn create(
    admin: &Admin,
    settings: &KafkaSettings,
    missing: &[Channel],
) -> Result<Vec<Channel>, BusError> {
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let shapes: Vec<_> = missing
        .iter()
        .map(|channel| Shape::of(*channel, settings))
        .collect();
    let new: Vec<_> = shapes.iter().map(Shape::as_new).collect();
    let results = admin
        .create_topics(&new, &options())
        .await
        .map_err(BusError::away)?;
    let mut created = Vec::new();
    for result in results {
        match result {
            Ok(name) => created.extend(settings.topics.channel(&name)),
            // Another program was quicker.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => {
                return Err(BusError::away(anyhow!(
                    "failed to create topic {name}: {code}"
                )));
            }
        }
    }
    Ok(created)
}

async fn delete(
    admin: &Admin,
    settings: &KafkaSettings,
    topics: &[Channel],
) -> Result<(), BusError> {
    let names: Vec<_> = topics
        .iter()
        .map(|topic| settings.topics.name(*topic))
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let results = admin
        .delete_topics(&names, &options())
        .await
        .map_err(BusError::away)?;
    for result in results {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
            Err((name, code)) => {
                return Err(BusError::away(anyhow!(
                    "failed to delete topic {name}: {code}"
                )));
            }
        }
    }
    Ok(())
}

/// The topics that are there and ready, with their numbers of partitions.
async fn partitions(
    admin: &Admin,
    settings: &KafkaSettings,
) -> Result<BTreeMap<Channel, i32>, BusError> {
    // Asked for all topics, since asking for one by name can create it.
    let asked = Arc::clone(admin);
    let metadata = tokio::task::spawn_blocking(move || asked.inner().fetch_metadata(None, ANSWER))
        .await
        .map_err(BusError::away)?
        .map_err(BusError::away)?;
    let ready = metadata.topics().iter().filter_map(|found| {
        let channel = settings.topics.channel(found.name())?;
        let led = found.error().is_none() && found.partitions().iter().all(|one| one.leader() >= 0);
        let count = i32::try_from(found.partitions().len()).unwrap_or(i32::MAX);
        led.then_some((channel, count))
    });
    Ok(ready.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn away() -> BusError {
        BusError::away(anyhow!("no answer"))
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_away_is_asked_again_until_the_bound() {
        let mut tries = 0;
        let done = until_done("it was not done", async || {
            tries += 1;
            (tries == 3).then_some(()).ok_or_else(away)
        });
        done.await.expect("the third try succeeds");

        let mut tries = 0;
        let given_up = until_done("it was not done", async || {
            tries += 1;
            Err::<(), _>(away())
        });
        let error = given_up.await.expect_err("it never succeeds");
        let told = format!("{:#}", anyhow::Error::from(error));
        assert_eq!(told, "Kafka is away: it was not done: no answer");
        assert!((60..=61).contains(&tries), "{tries}"); // the last one at the bound itself, or not
    }

    #[tokio::test(start_paused = true)]
    async fn what_hangs_and_what_trying_again_does_not_mend_end() {
        let hangs = until_done("it was not done", async || {
            std::future::pending::<Result<(), _>>().await
        });
        let error = hangs.await.expect_err("it never ends");
        let told = format!("{:#}", anyhow::Error::from(error));
        assert_eq!(told, "Kafka is away: it was not done within 30s");

        let refused = until_done("it was not done", async || {
            Err::<(), _>(BusError::Settings(anyhow!("no such setting")))
        });
        assert!(matches!(refused.await, Err(BusError::Settings(_))));
    }
}
