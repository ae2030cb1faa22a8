//! Answers that were made of a state, shared by all who ask the same about it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::identity::Role;

/// How many different questions about one state are remembered; others are answered each on their own.
const MOST: usize = 32;

/// What is asked about a state. Two that are equal have the same answer, so whatever tells answers apart goes into it: what
/// is selected, with which arguments, and with which rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question(pub [u8; 32]);

impl Question {
    /// The same, asked by a role. Of customers only an order's own is ever told of it.
    #[must_use]
    pub fn asked_by(mut self, role: Role) -> Self {
        self.0[0] ^= role as u8;
        self
    }
}

/// The answers about one state, in JSON.
#[derive(Debug, Default)]
pub struct Answers(Mutex<Vec<(Question, Arc<str>)>>);

impl Answers {
    /// The answer to a question, if it was made.
    pub fn get(&self, question: Question) -> Option<Arc<str>> {
        let answers = self.lock();
        let found = answers.iter().find(|(asked, _)| *asked == question);
        found.map(|(_, answer)| Arc::clone(answer))
    }

    /// Remembers an answer. One that is there stays.
    pub fn put(&self, question: Question, answer: &Arc<str>) {
        let mut answers = self.lock();
        if answers.len() < MOST && answers.iter().all(|(asked, _)| *asked != question) {
            answers.push((question, Arc::clone(answer)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Question, Arc<str>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_question_has_the_answer_that_was_made_first_and_there_are_so_many() {
        let answers = Answers::default();
        let question = |number| Question([number; 32]);
        for number in 0..=u8::try_from(MOST).expect("a few") {
            assert_eq!(answers.get(question(number)), None);
            answers.put(question(number), &number.to_string().into());
            answers.put(question(number), &"another".into());
        }
        assert_eq!(answers.get(question(7)).as_deref(), Some("7"));
        assert_eq!(answers.lock().len(), MOST);
    }
}
