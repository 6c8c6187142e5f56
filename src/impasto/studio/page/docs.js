// The reference of the REST API, generated from its OpenAPI description.

import { get } from "./api.js";
import { byId, el } from "./dom.js";

const api = await get("/api/openapi.json");

const resolve = (schema) => (schema?.$ref ? api.components.schemas[schema.$ref.split("/").at(-1)] : (schema ?? {}));

/** Describe a type. */
function typeName(schema = {}) {
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.anyOf) return schema.anyOf.map(typeName).filter((name) => name !== "null").join(" or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.type === "array") return `list of ${typeName(schema.items)}`;
  return schema.format ?? schema.type ?? "any";
}

/** Convert text with backticks to nodes with code. */
const formatText = (text) => text.split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part));

function table(caption, rows) {
  if (!rows.length) return null;
  const row = ({ name, schema, text, required }) =>
    el("tr", {}, el("th", { scope: "row" }, el("code", {}, name), required ? " *" : ""), el("td", {}, el("code", {}, typeName(schema))), el("td", {}, ...formatText(text ?? "")));
  return el("table", {}, el("caption", {}, caption), el("tbody", {}, ...rows.map(row)));
}

const fields = (schema) =>
  Object.entries(schema.properties ?? {}).map(([name, field]) => ({ name, schema: field, text: field.description, required: schema.required?.includes(name) }));

/** Make an example value. */
function example(schema) {
  const whole = resolve(schema);
  if (whole.default !== undefined) return whole.default;
  if (schema.$ref === "#/components/schemas/PictureRef") return { sample: "cat" };
  if (whole.type === "array") return [example(whole.items)];
  if (whole.properties) return Object.fromEntries((whole.required ?? []).map((name) => [name, example(whole.properties[name])]));
  return { number: 8, integer: 1, boolean: true, string: "…" }[whole.type] ?? null;
}

function curlCommand(method, path, operation) {
  const file = path === "/api/profiles" ? "paper.icc" : "photo.jpg";
  const required = (operation.parameters ?? []).filter((each) => each.in === "query" && each.name === "name");
  const query = required.map(({ name }) => `?${name}=${file}`).join("");
  const address = `'${location.origin}${path.replace("{job}", "1").replace("{name}", "swirl").replace("{sha256}", "SHA256")}${query}'`;
  const parts = ["curl", method === "GET" ? "" : `-X ${method}`, operation.responses["200"]?.content?.["image/jpeg"] || path.endsWith("/result") ? "-OJ" : ""];
  const body = operation.requestBody?.content;
  if (body?.["application/json"]) parts.push("-H 'content-type: application/json'", `-d '${JSON.stringify(example(body["application/json"].schema))}'`);
  else if (body) parts.push(`--data-binary @${file}`);
  return [...parts, address].filter(Boolean).join(" ");
}

function createSection(path, method, operation) {
  const body = operation.requestBody?.content?.["application/json"]?.schema;
  const answer = Object.entries(operation.responses).find(([status]) => status.startsWith("2"));
  const content = Object.entries(answer?.[1].content ?? {});
  const answers = content.map(([type, { schema }]) => (type === "application/json" ? typeName(schema) : type)).join(", ");
  const parameters = (operation.parameters ?? []).filter((each) => each.in !== "header");
  return el(
    "section",
    { id: operation.operationId },
    el("h2", {}, el("code", {}, el("b", {}, method), ` ${path}`)),
    el("p", {}, ...formatText(operation.description ?? operation.summary)),
    table("Parameters", parameters.map((each) => ({ ...each, text: each.description ?? each.schema.description }))),
    body && table(`Body: ${typeName(body)}`, fields(resolve(body))),
    el("p", { class: "help" }, `Response ${answer?.[0] ?? ""}${answers ? `: ${answers}` : ""}`),
    el("pre", {}, el("code", {}, curlCommand(method, path, operation))),
  );
}

const operations = Object.entries(api.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => createSection(path, method.toUpperCase(), operation)),
);
const types = Object.entries(api.components.schemas)
  .filter(([name]) => !name.includes("ValidationError"))
  .map(([name, schema]) => el("section", { id: name }, el("h2", {}, el("code", {}, name)), el("p", {}, schema.description ?? ""), table("Fields", fields(schema))));
byId("operations").append(
  el("h2", { class: "large" }, `${api.info.title} ${api.info.version}`),
  el("p", {}, `${api.info.summary} Errors have the form {"error": "one line"}. If the studio needs a token, send it as Authorization: Bearer TOKEN.`),
  ...operations,
  el("h2", { class: "large" }, "Data types"),
  ...types,
);
