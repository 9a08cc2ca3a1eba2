//! Reading a table of prices from TOML.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;

use spanring::Cost;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{PRICE_MAX, Price, PriceError, PriceFault, PriceTable};

/// No table is larger, in bytes.
const LEN_MAX: u64 = 1 << 20;

const TABLE_KEYS: [&str; 3] = ["date", "currency", "price"];
const PRICE_KEYS: [&str; 7] =
    ["model", "provider", "input", "output", "cached_input", "cache_creation", "reasoning"];

const DATE: &str = "a date such as 2026-11-20";
const TEXT: &str = "text that is not empty";

pub(super) fn load(path: &Path) -> Result<PriceTable, PriceError> {
    let whole = |fault| PriceError { path: None, line: None, fault };
    let mut text = String::new();
    let failed = |action| move |source| whole(PriceFault::Io { action, source });
    let file = File::open(path).map_err(failed("open"))?;
    file.take(LEN_MAX + 1).read_to_string(&mut text).map_err(failed("read"))?;
    parse(&text)
}

pub(super) fn parse(text: &str) -> Result<PriceTable, PriceError> {
    if text.len() as u64 > LEN_MAX {
        return Err(PriceError { path: None, line: None, fault: PriceFault::TooLarge { max: LEN_MAX } });
    }
    let document = DeTable::parse(text).map_err(|error| {
        let line = line_of(text, error.span().map_or(0, |span| span.start));
        PriceError::at(line, PriceFault::Syntax(error.message().to_owned()))
    })?;
    let table = Table::of(text, document.span(), document.get_ref(), &TABLE_KEYS)?;
    let date = table.required("date", |value| match value {
        DeValue::String(text) => is_date(text).then(|| text.clone().into_owned()).ok_or(wrong("date", DATE)),
        DeValue::Datetime(date) if date.time.is_none() && date.date.is_some() => Ok(date.to_string()),
        _ => Err(wrong("date", DATE)),
    })?;
    let currency = table.optional("currency", |value| text_of("currency", value))?;
    let mut prices: Vec<Price> = Vec::new();
    let mut seen = HashMap::new();
    let none = Spanned::new(0..0, DeValue::Array(Default::default()));
    let listed = table.table.get("price").unwrap_or(&none);
    let DeValue::Array(listed) = listed.get_ref() else {
        return Err(table.at(listed.span(), wrong("price", "a list: [[price]]")));
    };
    for item in listed {
        let DeValue::Table(fields) = item.get_ref() else {
            return Err(table.at(item.span(), wrong("price", "a list of tables: [[price]]")));
        };
        let price = read_price(&Table::of(text, item.span(), fields, &PRICE_KEYS)?)?;
        let name = (price.model.clone(), price.provider.clone());
        if let Some(first) = seen.insert(name, item.span().start) {
            let fault = PriceFault::Duplicate { model: price.model, first_line: line_of(text, first) };
            return Err(table.at(item.span(), fault));
        }
        prices.push(price);
    }
    Ok(PriceTable { date, currency: currency.unwrap_or_else(|| Cost::CURRENCY.to_owned()), prices })
}

fn read_price(table: &Table<'_>) -> Result<Price, PriceError> {
    let amount = |key| table.optional(key, |value| price_of(key, value));
    Ok(Price {
        model: table.required("model", |value| text_of("model", value))?,
        provider: table.optional("provider", |value| text_of("provider", value))?,
        input: table.required("input", |value| price_of("input", value))?,
        output: amount("output")?,
        cached_input: amount("cached_input")?,
        cache_creation: amount("cache_creation")?,
        reasoning: amount("reasoning")?,
    })
}

/// A table of the document all of whose keys are known.
struct Table<'a> {
    text: &'a str,
    span: Range<usize>,
    table: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    fn of(
        text: &'a str,
        span: Range<usize>,
        table: &'a DeTable<'a>,
        known: &[&'static str],
    ) -> Result<Self, PriceError> {
        let is_unknown = |key: &&Spanned<_>| !known.contains(&AsRef::<str>::as_ref(key.get_ref()));
        let unknown = table.keys().filter(is_unknown).min_by_key(|key| key.span().start);
        let table = Table { text, span, table };
        match unknown {
            None => Ok(table),
            Some(unknown) => {
                let key = unknown.get_ref().clone().into_owned();
                let nearest = known.iter().min_by_key(|known| distance(known, &key));
                let nearest = nearest.copied().unwrap_or_default();
                Err(table.at(unknown.span(), PriceFault::UnknownKey { key, nearest }))
            }
        }
    }

    fn required<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, PriceFault>,
    ) -> Result<T, PriceError> {
        let missing = || self.at(self.span.clone(), PriceFault::Missing { key });
        self.optional(key, read)?.ok_or_else(missing)
    }

    fn optional<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, PriceFault>,
    ) -> Result<Option<T>, PriceError> {
        let Some(value) = self.table.get(key) else { return Ok(None) };
        read(value.get_ref()).map(Some).map_err(|fault| self.at(value.span(), fault))
    }

    fn at(&self, span: Range<usize>, fault: PriceFault) -> PriceError {
        PriceError::at(line_of(self.text, span.start), fault)
    }
}

fn wrong(key: &'static str, expected: &'static str) -> PriceFault {
    PriceFault::WrongType { key, expected }
}

fn text_of(key: &'static str, value: &DeValue<'_>) -> Result<String, PriceFault> {
    match value {
        DeValue::String(text) if !text.is_empty() => Ok(text.clone().into_owned()),
        _ => Err(wrong(key, TEXT)),
    }
}

fn price_of(key: &'static str, value: &DeValue<'_>) -> Result<f64, PriceFault> {
    let price = match value {
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map(|price| price as f64).ok()
        }
        DeValue::Float(number) => number.as_str().parse().ok(),
        _ => return Err(wrong(key, "a number")),
    };
    price.filter(|price: &f64| (0.0..=PRICE_MAX).contains(price)).ok_or(PriceFault::NoPrice { key })
}

/// Whether it is written as a date: `2026-11-20`.
fn is_date(text: &str) -> bool {
    let shape = |character: char| if character.is_ascii_digit() { '0' } else { character };
    text.chars().map(shape).eq("0000-00-00".chars())
}

/// On which line, counted from 1, this byte stands.
fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count() + 1
}

/// How many characters have to be inserted, removed or replaced to make one of the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (at, character) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, other_character) in other.chars().enumerate() {
            let replaced = diagonal + usize::from(character != other_character);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}
