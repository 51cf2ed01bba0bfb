// Frame of the explorer: the page that the address names, search, keys, theme.
import { index, isStatic, useAtlas } from "./driver.js";
import { State, useAnswer } from "./parts.js";
import { isUnit, link, nameAtlas } from "./text.js";
import { html, render, useEffect, useRef, useState } from "./vendor/preact.js";
import { Circuit } from "./pages/circuit.js";
import { Circuits, Clusterings } from "./pages/circuits.js";
import { Compare } from "./pages/compare.js";
import { Edge } from "./pages/edge.js";
import { Graph, Graphs } from "./pages/graph.js";
import { Home } from "./pages/home.js";
import { Constellation } from "./pages/constellation.js";
import { Feature, Neuron } from "./pages/neuron.js";
import { Reports } from "./pages/reports.js";
import { Find, Search } from "./pages/search.js";
import { Sql } from "./pages/sql.js";
import { Token } from "./pages/token.js";

const PAGES = {
  "": Home, neuron: Neuron, feature: Feature, circuit: Circuit, circuits: Circuits, clusterings: Clusterings, graph: Graph, graphs: Graphs,
  edge: Edge, token: Token, search: Search, find: Find, compare: Compare, map: Constellation, reports: Reports, sql: Sql,
};
const LINKS = [["", "Home"], ["circuits", "Circuits"], ["graphs", "Graphs"], ["map", "Map"], ["find", "Find"], ["compare", "Compare"], ["clusterings", "Clusterings"], ["reports", "Reports"], ["sql", "SQL"]];
const KEYS = [["/", "search"], ["h", "home"], ["m", "map"], ["c", "circuits"], ["g", "graphs"], ["s", "SQL"], ["t", "light or dark"], ["?", "these keys"]];

// The address as page, name and parameters; all that a page shows is in it.
function route() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [page, ...rest] = path.split("/").map((part) => { try { return decodeURIComponent(part); } catch { return part; } });
  return { page, name: rest.join("/"), params: Object.fromEntries(new URLSearchParams(query)) };
}

// Change parameters of the address; the page keeps its place in the history.
function setParams(changes) {
  const { page, name, params } = route();
  const to = link(page, name === "" ? undefined : name, { ...params, ...changes });
  history.replaceState(null, "", to);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

function useRoute() {
  const [found, setFound] = useState(route());
  useEffect(() => {
    const changed = () => setFound(route());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return found;
}

function theme(next) {
  const stored = next ?? localStorage.getItem("atlas-theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.documentElement.dataset.theme = stored;
  if (next) localStorage.setItem("atlas-theme", next);
}

function go(words) {
  const text = words.trim();
  if (!text) return;
  if (isUnit(text)) location.hash = link(text.includes("/F") ? "feature" : "neuron", text);
  else if (/[&|!<>=~]|\w\(/.test(text)) location.hash = link("find", undefined, { q: text });
  else location.hash = link("search", undefined, { q: text });
}

function Top({ here, listed }) {
  const field = useRef(null);
  const [help, setHelp] = useState(false);
  const turn = () => theme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  useEffect(() => {
    const pages = { h: "", m: "map", c: "circuits", g: "graphs", s: "sql" };
    const pressed = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
      if (event.key === "/") { event.preventDefault(); field.current.focus(); }
      else if (event.key === "t") turn();
      else if (event.key === "?") setHelp((shown) => !shown);
      else if (event.key in pages) location.hash = link(pages[event.key]);
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, []);
  return html`<header class="top">
    <a class="name" href=${link("")}>Circuit Atlas</a>
    ${listed.atlases.length > 1 && html`<select aria-label="Atlas" value=${here.params.atlas ?? listed.atlases[0].name} onChange=${(event) => { nameAtlas(event.target.value); location.hash = link(""); }}>${listed.atlases.map((one) => html`<option value=${one.name} selected=${one.name === here.params.atlas}>${one.name}</option>`)}</select>`}
    <nav aria-label="Pages">${LINKS.map(([page, name]) => html`<a href=${link(page)} aria-current=${here.page === page ? "page" : undefined}>${name}</a>`)}</nav>
    <form role="search" onSubmit=${(event) => { event.preventDefault(); go(field.current.value); }}>
      <input ref=${field} type="search" aria-label="Search" placeholder='words, L1/N148, or layer >= 2 && label ~ "list"' /><button>Search</button>
    </form>
    <button type="button" class="plain" onClick=${turn} aria-label="Light or dark">◐</button>
    <button type="button" class="plain" onClick=${() => setHelp(!help)} aria-expanded=${help}>?</button>
    ${help && html`<dialog open aria-label="Keys"><dl class="facts">${KEYS.map(([key, does]) => html`<dt><kbd>${key}</kbd></dt><dd>${does}</dd>`)}</dl><button type="button" onClick=${() => setHelp(false)}>Close</button></dialog>`}
  </header>`;
}

function App() {
  const here = useRoute();
  const found = useAnswer(index, []);
  useEffect(() => { scrollTo(0, 0); document.title = here.page ? `${here.name || here.page} – Circuit Atlas` : "Circuit Atlas"; }, [here.page, here.name]);
  const Page = PAGES[here.page];
  return html`<a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.querySelector("main").focus(); }}>Skip to the page</a>
    <${State} found=${found}>${(listed) => {
      const known = listed.atlases.some((one) => one.name === here.params.atlas) ? here.params.atlas : null;
      useAtlas(known);
      nameAtlas(known);
      return html`<${Top} here=${here} listed=${listed} />
        <main id="main" tabindex="-1">${Page ? html`<${Page} key=${`${known} ${here.page} ${here.name}`} name=${here.name} params=${here.params} set=${setParams} listed=${listed} />` : html`<p class="error" role="alert">There is no page ${here.page}. <a href="#/">Home</a></p>`}</main>
        <footer>Circuit Atlas ${listed.version}. ${isStatic ? html`All answers are made in this browser.${listed.note ? ` ${listed.note}` : ""}` : html`Everything here comes from this file and this machine. <a href="openapi.json">OpenAPI</a>`}</footer>`;
    }}<//>`;
}

theme();
render(html`<${App} />`, document.getElementById("app"));
