//! A user of the shop, who is the customer of orders.

use super::limits::{EMAIL_CHARS, NAME_CHARS};
use super::refusal::{FieldPath, Refusal};
use super::{Timestamp, UserId, Version};

/// A user as of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Which user.
    pub id: UserId,
    /// The number of changes so far.
    pub version: Version,
    /// The name; empty once deleted.
    pub name: String,
    /// The e-mail address as written by the user; empty once deleted.
    pub email: String,
    /// When the user was created.
    pub created_at: Timestamp,
    /// When this version came to be.
    pub updated_at: Timestamp,
    /// Whether the user is gone; only id, version and times are left then.
    pub deleted: bool,
}

impl User {
    /// A new user.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for a name or address that breaks a rule.
    pub fn create(id: UserId, now: Timestamp, name: &str, email: &str) -> Result<Self, Refusal> {
        Ok(Self {
            id,
            version: 1,
            name: valid_text(vec!["name".into()], name, NAME_CHARS)?,
            email: valid_email(vec!["email".into()], email)?,
            created_at: now,
            updated_at: now,
            deleted: false,
        })
    }

    /// Changes the fields that are given; `None` leaves one as it is. Returns whether anything is different now.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for a name or address that breaks a rule.
    pub fn update(
        &mut self,
        now: Timestamp,
        name: Option<&str>,
        email: Option<&str>,
    ) -> Result<bool, Refusal> {
        let before = (self.name.clone(), self.email.clone());
        if let Some(name) = name {
            self.name = valid_text(vec!["name".into()], name, NAME_CHARS)?;
        }
        if let Some(email) = email {
            self.email = valid_email(vec!["email".into()], email)?;
        }
        let changed = before != (self.name.clone(), self.email.clone());
        if changed {
            self.touch(now);
        }
        Ok(changed)
    }

    /// Deletes the user and scrubs what is personal.
    pub fn delete(&mut self, now: Timestamp) {
        self.name.clear();
        self.email.clear();
        self.deleted = true;
        self.touch(now);
    }

    fn touch(&mut self, now: Timestamp) {
        self.version += 1;
        self.updated_at = self.updated_at.max(now);
    }
}

/// A text without surrounding space and control characters, between 1 and `max` characters.
///
/// # Errors
/// [`Refusal::Invalid`] that names the field.
pub fn valid_text(path: FieldPath, text: &str, max: usize) -> Result<String, Refusal> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Refusal::invalid(path, "must not be empty"));
    }
    if text.chars().count() > max {
        return Err(Refusal::invalid(
            path,
            format!("must have at most {max} characters"),
        ));
    }
    if text
        .chars()
        .any(|c| c.is_control() && c != '\n' && c != '\t')
    {
        return Err(Refusal::invalid(
            path,
            "must not contain control characters",
        ));
    }
    Ok(text.to_owned())
}

/// An e-mail address that can be written to: the everyday form of RFC 5321, without quoted local parts and address literals.
fn valid_email(path: FieldPath, email: &str) -> Result<String, Refusal> {
    let email = email.trim();
    if email.chars().count() > EMAIL_CHARS {
        return Err(Refusal::invalid(
            path,
            format!("must have at most {EMAIL_CHARS} characters"),
        ));
    }
    let well_formed = email.rsplit_once('@').is_some_and(|(local, domain)| {
        let local_ok = !local.is_empty()
            && local.len() <= 64
            && !local.starts_with('.')
            && !local.ends_with('.')
            && !local.contains("..")
            && local
                .chars()
                .all(|c| c.is_alphanumeric() || ".!#$%&'*+/=?^_`{|}~-".contains(c));
        let label_ok = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_alphanumeric() || c == '-')
        };
        local_ok && domain.contains('.') && domain.split('.').all(label_ok)
    });
    if well_formed {
        Ok(email.to_owned())
    } else {
        Err(Refusal::invalid(
            path,
            "must be an e-mail address such as ada@example.org",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_can_be_written_to_are_accepted_and_others_are_not() {
        for good in [
            "ada@example.org",
            "a.b+c@sub.example.co.uk",
            "  ada@example.org ",
            "jörg@exämple.de",
        ] {
            assert!(valid_email(vec![], good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "ada@example",
            "a b@example.org",
            ".a@example.org",
            "a@-x.org",
            "a..b@x.org",
            "a@x..org",
            "a@b@c.org",
        ] {
            assert!(valid_email(vec![], bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_update_that_changes_nothing_keeps_the_version() {
        let now = Timestamp::from_millis(1);
        let id = UserId::from_uuid(uuid::Uuid::from_u128(1));
        let mut user = User::create(id, now, "Ada", "ada@example.org").expect("valid");
        assert_eq!(user.update(now, Some("Ada"), None), Ok(false));
        assert_eq!(user.version, 1);
        assert_eq!(user.update(now, Some("Ada L."), None), Ok(true));
        assert_eq!(user.version, 2);
    }
}
