//! Holds an answer against `openapi.json`: is its status promised, and does its body have the promised shape?

use crate::office::Answer;
use axum::http::{Method, StatusCode};
use serde_json::Value;
use std::sync::LazyLock;

pub(crate) static OPENAPI: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../openapi.json")).unwrap());

/// `path` is what follows `/api/v1`.
pub(crate) fn check(method: &Method, path: &str, answer: &Answer) {
    let name = method.as_str().to_lowercase();
    let Some(item) = item(path) else {
        assert!(
            [401, 404].contains(&answer.status.as_u16()),
            "{method} {path} is not described"
        );
        return;
    };
    let operation = &item[&name];
    if operation.is_null() {
        let fits =
            [StatusCode::METHOD_NOT_ALLOWED, StatusCode::UNAUTHORIZED].contains(&answer.status);
        assert!(fits || name == "head", "{method} {path} is not described");
        return;
    }
    let response = follow(&operation["responses"][answer.status.as_str()]);
    let at = format!("{method} {path} {}: {}", answer.status, answer.body);
    assert!(response.is_object(), "not promised: {at}");
    let media_type = answer.header("content-type");
    match response.get("content") {
        None => assert!(answer.body.is_null(), "a body not promised: {at}"),
        Some(content) => {
            let schema = &content[media_type]["schema"];
            assert!(schema.is_object(), "{media_type} is not promised: {at}");
            if let Err(why) = fits(schema, &answer.body) {
                panic!("{why}: {at}");
            }
        }
    }
}

/// The path item that `path` belongs to.
fn item(path: &str) -> Option<&'static Value> {
    let parts: Vec<&str> = path.split('/').collect();
    let same = |template: &str| {
        let wanted: Vec<&str> = template.split('/').collect();
        let fits = |(w, p): (&&str, &&str)| w.starts_with('{') && !p.is_empty() || w == p;
        wanted.len() == parts.len() && wanted.iter().zip(&parts).all(fits)
    };
    let paths = OPENAPI["paths"].as_object().unwrap();
    // A literal path goes before one with a parameter.
    paths
        .get(path)
        .or_else(|| paths.iter().find(|(t, _)| same(t)).map(|(_, item)| item))
}

fn follow(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(place) => follow(OPENAPI.pointer(&place[1..]).expect(place)),
        None => value,
    }
}

fn fits(schema: &'static Value, value: &Value) -> Result<(), String> {
    let schema = follow(schema);
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(some) => some.iter().filter_map(Value::as_str).collect(),
        _ => return Err(format!("a schema without a type: {schema}")),
    };
    if !types.iter().any(|name| is_of(name, value)) {
        return Err(format!("{value} is not of type {types:?}"));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        return Err(format!("{value} is not one of {words:?}"));
    }
    if let Some(text) = value.as_str().filter(|_| schema["format"] == "date-time") {
        let like = |(t, m): (char, char)| if m == '0' { t.is_ascii_digit() } else { t == m };
        let mask = "0000-00-00T00:00:00.000Z";
        if text.len() != mask.len() || !text.chars().zip(mask.chars()).all(like) {
            return Err(format!("{text} is not a time in UTC"));
        }
    }
    match value {
        Value::Array(items) => items
            .iter()
            .try_for_each(|item| fits(&schema["items"], item)),
        Value::Object(members) => members_fit(schema, members),
        _ => Ok(()),
    }
}

fn members_fit(
    schema: &'static Value,
    members: &serde_json::Map<String, Value>,
) -> Result<(), String> {
    let required = schema["required"].as_array().into_iter().flatten();
    for name in required.filter_map(Value::as_str) {
        if !members.contains_key(name) {
            return Err(format!("{name} is missing"));
        }
    }
    for (name, value) in members {
        match (
            schema["properties"].get(name),
            schema.get("additionalProperties"),
        ) {
            (Some(schema), _) => fits(schema, value).map_err(|why| format!("{name}: {why}"))?,
            (None, None) => {}
            (None, Some(Value::Bool(true))) => {}
            (None, Some(Value::Bool(false))) => return Err(format!("{name} is not promised")),
            (None, Some(schema)) => fits(schema, value)?,
        }
    }
    Ok(())
}

fn is_of(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("an unknown type: {other}"),
    }
}
