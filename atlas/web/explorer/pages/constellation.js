import { ask } from "../driver.js";
import { Choice, State, useAnswer } from "../parts.js";
import { link, number, visible } from "../text.js";
import { html, useEffect, useRef, useState } from "../vendor/preact.js";

const LIMIT = 50000;
// The size of a point is made on the GPU too: moving and scaling send three numbers.
const VERTEX = `attribute vec2 place; attribute vec3 colour; attribute float share; uniform vec3 view; uniform vec2 shape; uniform float density; varying vec3 tint;
void main() { gl_Position = vec4((place - view.xy) * view.z / shape, 0.0, 1.0); gl_PointSize = density * clamp(1.5 * view.z / density * (0.35 + 0.65 * share), 3.0, 26.0); tint = colour; }`;
const FRAGMENT = `precision mediump float; varying vec3 tint;
void main() { if (length(gl_PointCoord - 0.5) > 0.5) discard; gl_FragColor = vec4(tint, 0.85); }`;

function rgb(hue, light = 0.55, strong = 0.62) {
  const part = (offset) => { const at = (offset + hue / 30) % 12; return light - strong * Math.min(light, 1 - light) * Math.max(-1, Math.min(at - 3, 9 - at, 1)); };
  return [part(0), part(8), part(4)];
}
const GREY = [0.55, 0.58, 0.62];

// Colour of every neuron, and the legend.
function colours(rows, by) {
  const golden = (value) => rgb((Number(value) * 137.508) % 360);
  if (by === "layer") {
    const most = Math.max(...rows.map((row) => row.layer), 1);
    return { of: (row) => rgb(250 - (230 * row.layer) / most), legend: [[rgb(250), "layer 0"], [rgb(20), `layer ${most}`]] };
  }
  if (by === "label") return { of: (row) => (row.label ? rgb(150) : GREY), legend: [[rgb(150), "has a label"], [GREY, "none"]] };
  if (by === "found again") {
    const of = (row) => (row.half_agreement === null ? GREY : rgb(10 + 120 * row.half_agreement));
    return { of, legend: [[rgb(130), "its circuit is found again in other prompts"], [rgb(10), "it is not"], [GREY, "not tested"]] };
  }
  const sizes = new Map();
  for (const row of rows) if (row.top_cluster !== null) sizes.set(row.top_cluster, (sizes.get(row.top_cluster) ?? 0) + 1);
  const largest = [...sizes].sort((a, b) => b[1] - a[1]).slice(0, 12);
  return { of: (row) => (row.top_cluster === null ? GREY : golden(row.top_cluster)), legend: [...largest.map(([name]) => [golden(name), `circuit ${name}`]), [GREY, "none"]] };
}

const css = (colour) => `rgb(${colour.map((one) => Math.round(one * 255)).join(" ")})`;

// Draw with WebGL; on a canvas without it.
function painter(canvas, rows, shares, density) {
  const gl = canvas.getContext("webgl", { antialias: true, alpha: true });
  if (!gl) return flat(canvas, rows, shares, density);
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source); gl.compileShader(shader); gl.attachShader(program, shader);
  }
  gl.linkProgram(program); gl.useProgram(program);
  gl.enable(gl.BLEND); gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
  const fill = (name, width, values) => {
    const at = gl.getAttribLocation(program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(at); gl.vertexAttribPointer(at, width, gl.FLOAT, false, 0, 0);
  };
  fill("place", 2, new Float32Array(rows.flatMap((row) => [row.x, row.y])));
  fill("share", 1, new Float32Array(shares));
  return {
    colour: (of) => fill("colour", 3, new Float32Array(rows.flatMap((row) => of(row)))),
    draw: (view) => {
      gl.viewport(0, 0, canvas.width, canvas.height);
      gl.clearColor(0, 0, 0, 0); gl.clear(gl.COLOR_BUFFER_BIT);
      gl.uniform3f(gl.getUniformLocation(program, "view"), view.x, view.y, view.scale);
      gl.uniform2f(gl.getUniformLocation(program, "shape"), canvas.width / 2, canvas.height / 2);
      gl.uniform1f(gl.getUniformLocation(program, "density"), density);
      gl.drawArrays(gl.POINTS, 0, rows.length);
    },
  };
}

function flat(canvas, rows, shares, density) {
  const pen = canvas.getContext("2d");
  let of = () => GREY;
  return {
    colour: (next) => { of = next; },
    draw: (view) => {
      pen.clearRect(0, 0, canvas.width, canvas.height);
      for (const [at, row] of rows.entries()) {
        const size = density * Math.max(3, Math.min(26, 1.5 * view.scale / density * (0.35 + 0.65 * shares[at])));
        pen.fillStyle = css(of(row));
        pen.fillRect(canvas.width / 2 + (row.x - view.x) * view.scale - size / 2, canvas.height / 2 - (row.y - view.y) * view.scale - size / 2, size, size);
      }
    },
  };
}

function Map_({ rows, by, open }) {
  const canvas = useRef(null);
  const state = useRef(null);
  const [over, setOver] = useState(null);
  const radius = Math.max(...rows.map((row) => Math.hypot(row.x, row.y)), 1);
  const most = Math.max(...rows.map((row) => row.graph_count ?? 1), 1);
  useEffect(() => {
    const element = canvas.current;
    const density = devicePixelRatio || 1;
    element.width = element.clientWidth * density;
    element.height = element.clientHeight * density;
    const view = { x: 0, y: 0, scale: Math.min(element.width, element.height) / (2.1 * radius) };
    const paint = painter(element, rows, rows.map((row) => Math.sqrt((row.graph_count ?? 1) / most)), density);
    const near = (event) => {
      const box = element.getBoundingClientRect();
      const x = view.x + ((event.clientX - box.left) * density - element.width / 2) / view.scale;
      const y = view.y - ((event.clientY - box.top) * density - element.height / 2) / view.scale;
      let best = null, least = (12 * density) / view.scale;
      for (const row of rows) { const far = Math.hypot(row.x - x, row.y - y); if (far < least) { least = far; best = row; } }
      return best;
    };
    let asked = 0;
    const draw = () => { asked ||= requestAnimationFrame(() => { asked = 0; paint.draw(view); }); };
    let held = null;
    const handlers = {
      pointerdown: (event) => { held = { x: event.clientX, y: event.clientY, moved: false }; element.setPointerCapture(event.pointerId); },
      pointermove: (event) => {
        if (!held) { setOver(near(event)); return; }
        held.moved ||= Math.hypot(event.clientX - held.x, event.clientY - held.y) > 3;
        view.x -= ((event.clientX - held.x) * density) / view.scale; view.y += ((event.clientY - held.y) * density) / view.scale;
        held = { ...held, x: event.clientX, y: event.clientY }; draw();
      },
      pointerup: (event) => { if (held && !held.moved) { const found = near(event); if (found) open(found); } held = null; },
      wheel: (event) => { event.preventDefault(); view.scale *= Math.exp(-event.deltaY / 400); draw(); },
      keydown: (event) => {
        const step = 40 / view.scale;
        const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
        if (event.key in moves) { event.preventDefault(); view.x += moves[event.key][0]; view.y += moves[event.key][1]; draw(); }
        else if (event.key === "+" || event.key === "-") { view.scale *= event.key === "+" ? 1.25 : 0.8; draw(); }
      },
    };
    for (const [name, does] of Object.entries(handlers)) element.addEventListener(name, does, { passive: false });
    state.current = { paint, draw };
    return () => { for (const [name, does] of Object.entries(handlers)) element.removeEventListener(name, does); };
  }, [rows]);
  useEffect(() => { state.current.paint.colour(colours(rows, by).of); state.current.draw(); }, [rows, by]);
  return html`<canvas class="map" ref=${canvas} tabindex="0" role="img" aria-label=${`Map of ${rows.length} neurons; arrows move it, plus and minus scale it. The same neurons are in the table of the page Find.`}></canvas>
    <p class="note" aria-live="polite">${over ? html`<b>${over.neuron_id}</b> ${visible(over.label ?? "no label", 160)}; ${over.graph_count === null ? "" : `${number(over.graph_count)} graphs`}${over.top_cluster === null ? "" : `, circuit ${over.top_cluster}`}` : "Point at a neuron to read its label, choose it to open its page; drag to move, wheel to scale."}</p>`;
}

export function Constellation({ params, set }) {
  const found = useAnswer(() => ask("constellation", { limit: LIMIT }), []);
  const by = params.colour ?? "circuit";
  return html`<h1>Map of the atlas</h1>
    <div class="controls"><${Choice} label="Colour" value=${by} options=${["circuit", "layer", "label", "found again"]} set=${(value) => set({ colour: value })} /></div>
    <${State} found=${found}>${({ rows, truncated }) => (rows.length ? html`
      <div class="legend">${colours(rows, by).legend.map(([colour, text]) => html`<span><i style=${{ background: css(colour) }}></i>${text}</span>`)}</div>
      <${Map_} rows=${rows} by=${by} open=${(row) => { location.hash = link("neuron", row.neuron_id); }} />
      <p class="note">${truncated ? `The ${number(rows.length)} most frequent neurons.` : `All ${number(rows.length)} neurons.`} A disc is a circuit, near those that it drives and that drive it, with its most frequent neurons inside; neurons of no circuit lie around. Size is the number of graphs.</p>` : html`<p class="note">The atlas has no neurons.</p>`)}<//>`;
}
