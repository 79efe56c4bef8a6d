// Draws openapi.json: every operation with its parameters, bodies and answers, and every schema.
"use strict";

const METHODS = ["get", "post", "put", "patch", "delete"];

function make(tag, text = "", className = "") {
  const node = document.createElement(tag);
  node.textContent = text;
  if (className) node.className = className;
  return node;
}

function table(head, rows) {
  const line = (cells, tag) => {
    const tr = make("tr");
    tr.append(...cells.map((cell) => {
      const td = make(tag);
      td.append(cell);
      return td;
    }));
    return tr;
  };
  const all = make("table");
  const thead = make("thead");
  thead.append(line(head, "th"));
  const body = make("tbody");
  body.append(...rows.map((row) => line(row, "td")));
  all.append(thead, body);
  const box = make("div", "", "scroll");
  box.append(all);
  return box;
}

// A link to the schema when it has a name, else its type in words.
function kind(schema) {
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    const link = make("a", name);
    link.href = `#${name}`;
    return link;
  }
  if (schema.type === "array" && schema.items) {
    const span = make("span", "list of ");
    span.append(kind(schema.items));
    return span;
  }
  if (schema.enum) return make("code", schema.enum.map((value) => JSON.stringify(value)).join(" | "));
  return make("span", [schema.type ?? "any"].flat().join(" or "));
}

function limits(schema) {
  const words = [];
  if (schema.description) words.push(schema.description);
  if (schema.writeOnly) words.push("Never shown.");
  if (schema.readOnly) words.push("Read-only.");
  if (schema.minimum !== undefined) words.push(`${schema.minimum} to ${schema.maximum}.`);
  if (schema.default !== undefined) words.push(`Default ${JSON.stringify(schema.default)}.`);
  return words.join(" ");
}

function content(holder) {
  const span = make("span");
  Object.entries(holder.content ?? {}).forEach(([media, { schema }], i) => {
    if (i > 0) span.append(", ");
    span.append(make("code", media), " ", kind(schema));
  });
  return span;
}

function operation(api, path, method, about, shared) {
  const look = (node) => (node.$ref ? node.$ref.slice(2).split("/").reduce((at, key) => at[key], api) : node);
  const box = make("details");
  const title = make("summary");
  title.append(make("span", method.toUpperCase(), "method"), make("code", api.servers[0].url + path), make("span", `  ${about.summary}`, "quiet"));
  box.append(title);
  if (about.description) box.append(make("p", about.description));
  const parameters = [...shared, ...(about.parameters ?? [])].map(look);
  if (parameters.length > 0) {
    const row = (p) => [make("code", p.name), p.in, kind(p.schema), [p.description, limits(p.schema)].filter(Boolean).join(" ")];
    box.append(table(["Parameter", "In", "Type", ""], parameters.map(row)));
  }
  if (about.requestBody) {
    const line = make("p", "Body: ");
    line.append(content(about.requestBody));
    box.append(line);
  }
  const answers = Object.entries(about.responses).map(([status, response]) => {
    const is = look(response);
    return [make("code", status), is.description, content(is)];
  });
  box.append(table(["Answer", "", "Body"], answers));
  return box;
}

function schema(name, about) {
  const box = make("details");
  box.id = name;
  box.append(make("summary", name));
  if (about.description) box.append(make("p", about.description));
  const required = about.required ?? [];
  const rows = Object.entries(about.properties ?? {}).map(([field, is]) => [
    make("code", field), kind(is), required.includes(field) ? "always" : "optional", limits(is),
  ]);
  if (rows.length > 0) box.append(table(["Field", "Type", "", ""], rows));
  return box;
}

function openTarget() {
  const box = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (box instanceof HTMLDetailsElement) {
    box.open = true;
    box.scrollIntoView();
  }
}

async function draw() {
  const api = await (await fetch("/api/v1/openapi.json")).json();
  document.getElementById("about").textContent = api.info.description;
  const example = document.getElementById("example");
  example.textContent = `curl -H "Authorization: Bearer $KEY" ${location.origin}${api.servers[0].url}/extensions`;
  example.hidden = false;
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((m) => item[m])) {
      document.getElementById("operations").append(operation(api, path, method, item[method], item.parameters ?? []));
    }
  }
  for (const [name, about] of Object.entries(api.components.schemas)) {
    document.getElementById("schemas").append(schema(name, about));
  }
  openTarget();
}

addEventListener("hashchange", openTarget);
draw().catch(() => {
  const trouble = document.getElementById("trouble");
  trouble.textContent = "The description of the API could not be loaded.";
  trouble.hidden = false;
});
