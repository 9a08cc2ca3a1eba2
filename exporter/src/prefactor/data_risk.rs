//! What Prefactor is told of the risk that a type of spans is.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

/// What spans of a type do, and which sorts of data are in them. Keys and words are Prefactor's; what is not said is unknown there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DataRisk {
    /// One of [`ACTION_WORDS`](Self::ACTION_WORDS) for some of the [`ACTIONS`](Self::ACTIONS).
    pub action_profile: BTreeMap<String, String>,
    /// One of [`CATEGORY_WORDS`](Self::CATEGORY_WORDS) for some of the [`CATEGORIES`](Self::CATEGORIES) of payloads, and for
    /// [`CLASSIFICATION`](Self::CLASSIFICATION) one of the [`CLASSIFICATIONS`](Self::CLASSIFICATIONS).
    pub params_data_categories: BTreeMap<String, String>,
    /// The same of results.
    pub result_data_categories: BTreeMap<String, String>,
}

impl DataRisk {
    /// What a span may do.
    pub const ACTIONS: &[&str] = &[
        "create_data",
        "read_data",
        "update_data",
        "destroy_data",
        "financial_transactions",
        "external_communication",
    ];
    /// Whether it does.
    pub const ACTION_WORDS: &[&str] = &["unknown", "allowed", "disallowed"];
    /// Sorts of data, and how secret they are.
    pub const CATEGORIES: &[&str] = &[
        "personal_identifiers",
        "contact_information",
        "financial_information",
        "health_and_medical",
        "criminal_justice",
        "authentication_and_secrets",
        "organisational_confidential",
        "minors_data",
        "location_and_tracking",
        "behavioural_and_inferred",
        "gdpr_racial_or_ethnic_origin",
        "gdpr_political_opinions",
        "gdpr_religious_or_philosophical_beliefs",
        "gdpr_trade_union_membership",
        "gdpr_genetic_data",
        "gdpr_biometric_for_identification",
        "gdpr_sex_life_or_sexual_orientation",
        Self::CLASSIFICATION,
    ];
    /// Whether they are in it.
    pub const CATEGORY_WORDS: &[&str] = &["unknown", "included", "excluded"];
    /// Which of the categories says how secret the data is.
    pub const CLASSIFICATION: &str = "classification";
    /// How secret it is.
    pub const CLASSIFICATIONS: &[&str] =
        &["unknown", "public", "internal", "confidential", "restricted", "secret"];

    /// All three parts, which the SDK's model needs.
    pub(super) fn json(&self) -> Json {
        json!({
            "action_profile": self.action_profile,
            "params_data_categories": self.params_data_categories,
            "result_data_categories": self.result_data_categories,
        })
    }
}
