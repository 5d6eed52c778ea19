"use strict";
// Everything on the page is made of the document in #data. Text from tests only ever becomes text nodes.
const told = JSON.parse(document.getElementById("data").textContent);
const others = told.runtimes.filter((name) => name !== "native");
const PAGE = 300;
let limit = PAGE;

function make(tag, attributes = {}, ...children) {
  const isSvg = tag === "svg" || tag === "rect" || tag === "title";
  const element = isSvg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}
const byId = (id) => document.getElementById(id);
const percent = (count) => (count.percent === null ? "–" : count.percent.toFixed(1) + " %");

function bar(count) {
  const svg = make("svg", { class: "bar", viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img" });
  svg.append(make("title", {}, `${count.passed} pass, ${count.failed} fail, ${count.skipped} skip`));
  let x = 0;
  for (const [kind, value] of [["pass", count.passed], ["fail", count.failed], ["skip", count.skipped]]) {
    const width = count.counted ? (100 * value) / count.counted : 0;
    if (width) svg.append(make("rect", { class: kind, x, y: 0, width, height: 10 }));
    x += width;
  }
  return svg;
}

function showSources() {
  byId("versions").textContent = told.runtimes.map((name) => `${name} ${told.versions[name] || ""}`.trim()).join(" · ");
  for (const row of told.sources) {
    const { passed, failed, skipped } = row.native;
    const card = make("div", { class: "card" }, make("h3", {}, row.name));
    card.append(make("p", { class: "quiet" }, `natively ${passed} pass, ${failed} fail, ${skipped} skip`));
    for (const name of others) {
      const count = row.by_runtime[name];
      card.append(make("div", { class: "line" }, make("span", {}, name), bar(count), make("b", {}, percent(count))));
      card.append(make("p", { class: "quiet" }, `${count.passed} of ${count.counted}`));
    }
    byId("sources").append(card);
  }
}

const TITLES = {
  regressions: "Regressed", internal_errors: "Internal errors", unlisted: "Fails, on no block list",
  listed_but_pass: "On a block list, but passes", listed_but_gone: "On a block list, but there is no such test",
};

function showFindings() {
  for (const [kind, title] of Object.entries(TITLES)) {
    const found = told.findings[kind];
    if (!found.length) continue;
    const list = make("ul");
    for (const one of found) list.append(make("li", {}, `${one.key} [${one.runtime}] ${one.text}`));
    byId("findings").append(make("details", {}, make("summary", {}, `${title}: ${found.length}`), list));
  }
}

function showChart() {
  const chart = byId("chart");
  chart.replaceChildren();
  for (const row of told[byId("group").value]) {
    const entry = make("div", { class: "entry" });
    others.forEach((name, index) => {
      const count = row.by_runtime[name];
      const label = index ? name : others.length > 1 ? `${row.name} · ${name}` : row.name;
      const numbers = `${count.passed}/${count.counted} ${percent(count)}`;
      entry.append(make("div", { class: "line" }, make("span", { title: label }, label), bar(count), make("b", {}, numbers)));
    });
    entry.addEventListener("click", () => {
      const isFamily = byId("group").value === "families";
      byId("family").value = isFamily ? row.name.split("/").pop() : "";
      byId("source").value = isFamily && row.name.includes("/") ? row.name.split("/")[0] : "";
      byId("text").value = isFamily ? "" : row.name;
      applyFilters();
      byId("filters").scrollIntoView();
    });
    chart.append(entry);
  }
}

function matches(test) {
  const outcomes = Object.values(test.results);
  const [source] = test.test.split(":");
  const kind = byId("outcome").value;
  if (byId("source").value && byId("source").value !== source) return false;
  if (byId("family").value && byId("family").value !== test.family) return false;
  if (kind === "uncounted" && test.counted) return false;
  if (kind === "pass" && !outcomes.every((result) => result.outcome === "pass")) return false;
  if ((kind === "fail" || kind === "skip") && !outcomes.some((result) => result.outcome === kind)) return false;
  if (kind === "differs" && !(test.counted && outcomes.some((result) => result.outcome !== "pass"))) return false;
  const said = outcomes.map((result) => `${result.cause || ""} ${result.reason || ""}`).join(" ");
  const text = `${test.test} ${test.family} ${test.calls.join(" ")} ${said}`.toLowerCase();
  return byId("text").value.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

function testRow(test) {
  const row = make("tr", { class: test.counted ? "test" : "test uncounted" });
  row.append(make("td", {}, test.test), make("td", {}, test.family), make("td", {}, test.calls.join(" ")));
  for (const name of told.runtimes) {
    const result = test.results[name];
    const cell = make("td", { class: "outcome" });
    if (result) cell.append(make("span", { class: `mark ${result.outcome}` }, result.outcome));
    row.append(cell);
  }
  row.append(make("td", {}, Object.values(test.results).map((result) => result.cause || "").filter(Boolean).join("; ")));
  row.addEventListener("click", () => toggleDetail(row, test));
  return row;
}

function toggleDetail(row, test) {
  if (row.nextSibling && row.nextSibling.className === "detail") return row.nextSibling.remove();
  const cell = make("td", { colspan: told.runtimes.length + 4 });
  for (const [name, result] of Object.entries(test.results)) {
    const status = result.status === undefined ? "" : `status ${result.status}, `;
    cell.append(make("div", {}, `${name}: ${result.outcome} ${result.cause || ""} (${status}${result.seconds} s)`));
    if (result.reason) cell.append(make("div", {}, `known: ${result.reason}`));
    if (result.tail) cell.append(make("pre", {}, result.tail));
  }
  row.after(make("tr", { class: "detail" }, cell));
}

function applyFilters() {
  const found = told.tests.filter(matches);
  document.querySelector("#matrix tbody").replaceChildren(...found.slice(0, limit).map(testRow));
  byId("shown").textContent = `${found.length} of ${told.tests.length}`;
  byId("more").hidden = found.length <= limit;
}

function addOptions(id, values) {
  for (const value of [...new Set(values)].sort()) byId(id).append(make("option", { value }, value));
}

showSources();
showFindings();
showChart();
addOptions("source", told.tests.map((test) => test.test.split(":")[0]));
addOptions("family", told.tests.map((test) => test.family));
const head = ["test", "family", "calls", ...told.runtimes, "cause"].map((word) => make("th", {}, word));
document.querySelector("#matrix thead").append(make("tr", {}, ...head));
byId("group").addEventListener("change", showChart);
// Typing is "input"; a choice is "change" everywhere, "input" not.
for (const kind of ["input", "change"]) byId("filters").addEventListener(kind, () => { limit = PAGE; applyFilters(); });
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("more").addEventListener("click", () => { limit += PAGE; applyFilters(); });
applyFilters();
