//! The answer to a question allows nothing.

use countersign_policy::{Permit, Policies, Question};

fn ask(policies: &Policies, question: &Question<'_>) -> Permit {
    policies.evaluate(question)
}

fn main() {}
