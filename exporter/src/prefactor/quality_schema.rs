//! What an agent's records of quality look like.

use serde_json::{Value as Json, json};

use super::DataRisk;

/// What records of quality of a name look like, as somebody declares it. What is `None` is left to Prefactor.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct QualitySchema {
    /// Their name, by which they are [recorded](super::quality).
    pub name: String,
    /// What people call them.
    pub title: Option<String>,
    /// What they are about.
    pub description: Option<String>,
    /// How one is shown: `{{field}}` stands for a field of it.
    pub template: Option<String>,
    /// Their JSON Schema; an open one where none is said.
    pub schema: Option<Json>,
    /// What is in them.
    pub data_risk: Option<DataRisk>,
}

impl QualitySchema {
    pub(super) fn json(&self) -> Json {
        let schema = self.schema.clone();
        let schema = schema.unwrap_or_else(|| json!({"type": "object", "additionalProperties": true}));
        let mut said = json!({"name": self.name, "schema": schema});
        let texts =
            [("title", &self.title), ("description", &self.description), ("template", &self.template)];
        for (key, text) in texts {
            if let Some(text) = text {
                said[key] = text.as_str().into();
            }
        }
        if let Some(data_risk) = &self.data_risk {
            said["data_risk"] = data_risk.json();
        }
        said
    }

    /// The same name, of whose records nothing more is said.
    pub(super) fn open(&self) -> Self {
        QualitySchema { name: self.name.clone(), ..QualitySchema::default() }
    }
}
