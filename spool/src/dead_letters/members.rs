//! What letters of both sorts say of the refusal, in the same words: all but what was refused.

use std::borrow::Cow;

use serde::ser::SerializeMap;

use crate::trace::json::{self, Fields};
use crate::{Position, RecorderId, Resource};

/// The members of a letter's JSON that come first.
pub(super) struct Members<'a> {
    pub(super) sink: Cow<'a, str>,
    pub(super) reason: Cow<'a, str>,
    pub(super) set_aside_unix_ns: u64,
    pub(super) recorder: Cow<'a, RecorderId>,
    pub(super) block: Position,
    pub(super) number: u64,
    pub(super) resource: Cow<'a, Resource>,
}

impl Members<'_> {
    pub(super) fn write<M: SerializeMap>(&self, members: &mut M) -> Result<(), M::Error> {
        let Members { sink, reason, set_aside_unix_ns, recorder, block, number, resource } = self;
        members.serialize_entry("sink", sink)?;
        members.serialize_entry("reason", reason)?;
        members.serialize_entry("set_aside_unix_ns", &set_aside_unix_ns.to_string())?;
        members.serialize_entry("recorder", recorder.as_str())?;
        members.serialize_entry("segment", &block.segment.to_string())?;
        members.serialize_entry("offset", &block.offset.to_string())?;
        members.serialize_entry("next_sequence", &block.next_sequence.to_string())?;
        members.serialize_entry("number", &number.to_string())?;
        members.serialize_entry("resource", &json::Attributes(&resource.attributes))
    }

    /// What [`write`](Members::write) has written.
    pub(super) fn read(fields: &mut Fields) -> Result<Self, String> {
        let recorder =
            |value| RecorderId::parse(&json::text(value)?).ok_or_else(|| "is no recorder".to_owned());
        Ok(Members {
            sink: fields.required("sink", json::text)?.into(),
            reason: fields.required("reason", json::text)?.into(),
            set_aside_unix_ns: fields.required("set_aside_unix_ns", json::number)?,
            recorder: Cow::Owned(fields.required("recorder", recorder)?),
            block: Position {
                segment: fields.required("segment", json::number)?,
                offset: fields.required("offset", json::number)?,
                next_sequence: fields.required("next_sequence", json::number)?,
            },
            number: fields.required("number", json::number)?,
            resource: Cow::Owned(Resource { attributes: fields.required("resource", json::attributes)? }),
        })
    }
}
