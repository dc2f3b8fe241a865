// The picture itself. Only what is in the window is drawn.
const canvas = document.getElementById("canvas"), over = document.getElementById("over");
const ctx = canvas.getContext("2d"), octx = over.getContext("2d");
const font = 'system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif';
let colour = {}, hatch, stripes, W = 0, G = 0, hits = [], lit = "", fontNow = "";
const base = document.createElement("canvas"), bctx = base.getContext("2d");
let stale = true; // what base holds
let fine = 1; // marks get smaller where there are many
const widths = new Map();

// theme reads the colours; they change with the system's scheme.
function theme() {
  const css = getComputedStyle(document.documentElement);
  colour = {};
  for (const n of ["bg", "card", "ink", "dim", "line", "bad", "badbg", "lane", "bar", "edge", "fault", "faultbg", "cursor", "t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"])
    colour[n] = css.getPropertyValue("--" + n).trim();
  hatch = pattern(colour.bad, 6);
  stripes = pattern(colour.fault, 9);
}

// pattern is slanted lines; colour is never the only sign.
function pattern(ink, size) {
  const c = document.createElement("canvas");
  c.width = c.height = size;
  const p = c.getContext("2d");
  p.strokeStyle = ink;
  p.globalAlpha = 0.55;
  p.beginPath();
  for (const d of [-size, 0, size]) { p.moveTo(d, size); p.lineTo(d + size, 0); }
  p.stroke();
  return ctx.createPattern(c, "repeat");
}

function jobColour(job) { return job ? colour["t" + (jobAt.get(job) ?? 7) % 8] : colour.edge; }
function jobDash(job) { return [[], [7, 3], [2, 3]][Math.floor((jobAt.get(job) ?? 0) / 8) % 3]; }

// A position's place, and back. To the right there is room for the last words.
const room = () => W - G - (W < 600 ? 34 : 84);
const X = p => G + 10 + (p - state.v0) / (state.v1 - state.v0) * room();
const P = x => state.v0 + (x - G - 10) / room() * (state.v1 - state.v0);

function size(c, cx, height) {
  const dpr = window.devicePixelRatio || 1, w = c.clientWidth;
  if (c.width !== Math.round(w * dpr) || c.height !== Math.round(height * dpr)) {
    c.width = Math.round(w * dpr);
    c.height = Math.round(height * dpr);
    c.style.height = height + "px";
  }
  cx.setTransform(dpr, 0, 0, dpr, 0, 0);
  cx.clearRect(0, 0, w, height);
  cx.lineJoin = "round";
  return w;
}

// setFont sets the font if it is another: that is slow.
function setFont(px, bold) {
  const want = (bold ? "600 " : "") + px + "px " + font;
  if (want !== fontNow) ctx.font = fontNow = want;
}

function text(s, x, y, ink, px, bold, align) {
  setFont(px, bold);
  ctx.fillStyle = ink;
  ctx.textAlign = align || "left";
  ctx.textBaseline = "middle";
  ctx.fillText(s, x, y);
}

// boxed is text that what is under it doesn't cross.
function boxed(s, x, y, ink, px, bold) {
  ctx.fillStyle = colour.lane;
  ctx.fillRect(x - 2, y - px / 2 - 1, width(s, px) + 5, px + 3);
  text(s, x, y, ink, px, bold);
}

// width remembers, since the same words come again and again.
function width(s, px) {
  const key = px + s, had = widths.get(key);
  if (had !== undefined) return had;
  setFont(px);
  const w = ctx.measureText(s).width;
  if (widths.size > 5000) widths.clear();
  widths.set(key, w);
  return w;
}

// draw draws all of it, or, if only the step is another, what was drawn before
// and the step.
function draw() {
  const began = performance.now();
  W = size(canvas, ctx, shown.height);
  fontNow = "";
  if (!canvas.width || !canvas.height) return; // not laid out
  if (stale || base.width !== canvas.width || base.height !== canvas.height) {
    canvas.dataset.bars = drawBase();
    base.width = canvas.width;
    base.height = canvas.height;
    bctx.drawImage(canvas, 0, 0);
    canvas.dataset.ms = Math.round(performance.now() - began);
    stale = false;
  } else {
    ctx.save();
    ctx.resetTransform();
    ctx.drawImage(base, 0, 0);
    ctx.restore();
  }
  ctx.save();
  clip();
  drawCursor();
  ctx.restore();
  drawOver();
}

function clip() {
  ctx.beginPath();
  ctx.rect(G, 0, W - G, shown.height);
  ctx.clip();
}

function drawBase() {
  G = W < 600 ? 64 : 104;
  hits = [];
  fine = Math.max(0.4, Math.min(1, room() / (state.v1 - state.v0) / 8));
  ctx.save();
  clip();
  drawLanes();
  drawAxis();
  drawThreads();
  const bars = drawBars();
  drawMarks();
  drawBad();
  ctx.restore();
  fontNow = "";
  drawNames();
  return bars;
}

function drawLanes() {
  for (const l of shown.lanes) {
    ctx.fillStyle = colour.lane;
    ctx.fillRect(G, l.top, W - G, l.bottom - l.top);
  }
  for (const c of shown.cuts) {
    const x0 = X(c.p0), x1 = X(c.p1);
    if (x1 < G || x0 > W || x1 - x0 < 10) continue;
    const m = (x0 + x1) / 2;
    ctx.strokeStyle = colour.dim;
    ctx.globalAlpha = 0.45;
    ctx.lineWidth = 1;
    for (const d of [-3, 3]) {
      ctx.beginPath();
      for (let y = 22, s = 1; y <= shown.height; y += 7, s = -s) ctx.lineTo(m + d + 2.5 * s, y);
      ctx.stroke();
    }
    ctx.globalAlpha = 1;
  }
  for (const r of shown.rows) { // faults that last
    if (r.kind !== FAULT || r.z < 0) continue;
    const x0 = Math.max(G, X(shown.pos[r.a])), x1 = Math.min(W, X(shown.pos[r.z]));
    if (x1 < G || x0 > W) continue;
    for (const l of shown.lanes) {
      if (r.host && r.host !== l.host) continue;
      ctx.fillStyle = stripes;
      ctx.fillRect(x0, l.top, Math.max(2, x1 - x0), l.bottom - l.top);
    }
  }
}

// drawAxis writes times where there is room, and how long a cut is.
function drawAxis() {
  const taken = [];
  for (const c of shown.cuts) {
    const m = (X(c.p0) + X(c.p1)) / 2, s = span(c.g), w = width(s, 11);
    if (X(c.p1) - X(c.p0) < 10 || m - w / 2 < G || m > W || taken.some(t => m - w / 2 < t[1] + 8 && m + w / 2 > t[0] - 8)) continue;
    text(s, m, 13, colour.dim, 11, false, "center");
    ctx.fillStyle = colour.dim;
    ctx.fillRect(m - w / 2, 21, w, 1);
    taken.push([m - w / 2, m + w / 2]);
  }
  const stops = shown.stops;
  let from = stops.findIndex(s => X(shown.pos[s]) >= G), last = -1e9;
  for (let i = Math.max(0, from); i < stops.length; i++) {
    const x = X(shown.pos[stops[i]]);
    if (x > W - 6) break;
    if (x < last) continue;
    const s = span(times[stops[i]]), w = width(s, 11);
    const hit = taken.find(t => x - 4 < t[1] + 8 && x + w + 4 > t[0] - 8);
    if (hit || x + w > W) continue;
    text(s, x + 3, 13, colour.ink, 11);
    ctx.fillStyle = colour.line;
    ctx.fillRect(x, 6, 1, shown.height);
    last = x + w + 34;
  }
}

function drawThreads() {
  const busy = shown.threads.length > 12 && !state.job;
  const labels = new Map(); // where the last is, by line
  for (const t of shown.threads) {
    const strong = state.job ? t.job === state.job : lit === t.job;
    ctx.strokeStyle = jobColour(t.job);
    ctx.globalAlpha = strong ? 1 : lit && !state.job ? 0.12 : busy ? 0.4 : 0.75;
    ctx.lineWidth = strong ? 2.5 : busy ? 1 : 1.75;
    ctx.setLineDash(busy && !strong ? [] : jobDash(t.job));
    ctx.beginPath();
    let was = null;
    for (const p of t.points) {
      const x = X(shown.pos[p.s]);
      if (was && x >= G && was.x <= W) {
        ctx.moveTo(was.x, was.y);
        const m = Math.min(40, (x - was.x) / 2);
        if (was.y === p.y) ctx.lineTo(x, p.y);
        else { ctx.lineTo(x - 2 * m, was.y); ctx.bezierCurveTo(x - m, was.y, x - m, p.y, x, p.y); }
      }
      was = {x, y: p.y};
    }
    ctx.stroke();
    const start = t.points.find(p => X(shown.pos[p.s]) >= G);
    if (!state.job && start && (!busy || strong)) {
      const x = X(shown.pos[start.s]), key = Math.round(start.y);
      if (x < W && Math.abs(x - (labels.get(key) ?? -1e9)) > 60) {
        labels.set(key, x);
        ctx.globalAlpha = 1;
        boxed(short(t.job), x + 8, start.y - 9, jobColour(t.job), 10, true);
      }
    }
  }
  ctx.setLineDash([]);
  ctx.globalAlpha = 1;
}

function drawBars() {
  let n = 0;
  for (const l of shown.lanes) for (const b of l.bands) {
    const next = [], seen = []; // on each line, what is to the right
    for (let i = b.ops.length - 1; i >= 0; i--) {
      const o = b.ops[i], x0 = X(shown.pos[o.from]);
      if (x0 > W) { next[o.line] = x0; continue; }
      const xe = X(shown.pos[o.to]);
      if (xe < G) continue;
      const bad = o.r.err || o.r.z < 0;
      if (xe - x0 < 1.5 && !bad && seen[o.line] === (x0 | 0)) continue;
      seen[o.line] = x0 | 0;
      drawBar(o, x0, next[o.line] ?? W + 400);
      next[o.line] = x0;
      n++;
    }
    if (shown.line < 12) continue;
    let last = -1e9;
    for (const p of b.procs) {
      const x = X(shown.pos[p.from]), w = width(p.name, 10);
      if (!p.name || p.name === l.host || x < G - 30 || x > W) continue;
      ctx.fillStyle = colour.dim;
      ctx.fillRect(x - 6, b.top + 1, 2, b.lines * shown.line - 2);
      if (x - w - 12 > last) boxed(p.name, x - w - 9, b.top + shown.line / 2, colour.dim, 10, false);
      last = x;
    }
  }
  return n;
}

// drawBar draws an operation: the bar to its answer, or open; its effects; and
// its words, in it or beside it.
function drawBar(o, x0, next) {
  const r = o.r, h = Math.max(4, shown.line - 6), y = o.y - h / 2, line = jobColour(r.job);
  const end = r.z >= 0 ? r.z : o.to, x1 = Math.max(x0 + 3, X(shown.pos[end]));
  ctx.globalAlpha = lit && r.job !== lit && !state.job ? 0.2 : 1;
  ctx.fillStyle = colour.bar;
  ctx.fillRect(x0, y, x1 - x0, h);
  if (r.err) { ctx.fillStyle = hatch; ctx.fillRect(x0, y, x1 - x0, h); }
  if (x1 - x0 > 4) {
    ctx.strokeStyle = r.err ? colour.bad : line;
    ctx.lineWidth = 1.25;
    ctx.beginPath();
    if (r.z >= 0) ctx.rect(x0, y, x1 - x0, h);
    else {
      ctx.setLineDash([4, 3]);
      ctx.moveTo(x1, y); ctx.lineTo(x0, y); ctx.lineTo(x0, y + h); ctx.lineTo(x1, y + h);
    }
    ctx.stroke();
    ctx.setLineDash([]);
  }
  let right = x1;
  for (const [k, e] of r.effects.entries()) {
    const x = X(shown.pos[e.at]), a = Math.min(5, h / 2 + 1) * fine;
    if (x > x1 + 1) {
      ctx.strokeStyle = colour.ink;
      ctx.setLineDash([2, 3]);
      ctx.beginPath(); ctx.moveTo(x1, o.y); ctx.lineTo(x, o.y); ctx.stroke();
      ctx.setLineDash([]);
    }
    right = Math.max(right, x + a);
    ctx.beginPath();
    if (e.err) {
      ctx.strokeStyle = colour.bad;
      ctx.lineWidth = 2;
      ctx.moveTo(x - a + 1, o.y - a + 1); ctx.lineTo(x + a - 1, o.y + a - 1); ctx.moveTo(x + a - 1, o.y - a + 1); ctx.lineTo(x - a + 1, o.y + a - 1);
      ctx.stroke();
    } else if (fine < 0.5) {
      ctx.fillStyle = colour.ink;
      ctx.fillRect(x - 1, o.y - 2, 2, 4);
    } else {
      ctx.fillStyle = colour.ink;
      ctx.moveTo(x, o.y - a); ctx.lineTo(x + a, o.y); ctx.lineTo(x, o.y + a); ctx.lineTo(x - a, o.y);
      ctx.fill();
    }
    hits.push({x0: x - 6, x1: x + 6, y0: o.y - shown.line / 2, y1: o.y + shown.line / 2, r, k});
  }
  if (shown.line >= 13 && next - x0 > 24) barText(r, x0, x1, right, next, o.y);
  ctx.globalAlpha = 1;
  hits.push({x0, x1: Math.max(right, x0 + 4), y0: o.y - shown.line / 2, y1: o.y + shown.line / 2, r, k: 0});
}

function barText(r, x0, x1, right, next, y) {
  const err = r.err || (r.effects.find(e => e.err) || {}).err || "";
  for (const words of [label(r) + (err ? " \u2717 " + err : ""), r.op + (err ? " \u2717 " + err : ""), err]) {
    if (!words) continue;
    const w = width(words, 11), ink = err ? colour.bad : colour.ink;
    const marks = r.effects.map(e => X(shown.pos[e.at]));
    const clear = (marks.length ? Math.min(...marks) : x1) - Math.max(x0, G) - 10;
    if (clear > w) { text(words, Math.max(x0, G) + 4, y, ink, 11); return; }
    if (right + 6 + w < Math.min(next - 4, W)) {
      boxed(words, right + 5, y, ink, 11);
      return;
    }
  }
}

// drawMarks draws what has a moment and no length: steps of jobs and notes, and
// over them the flags of faults. What is of no host stands above the lanes.
function drawMarks() {
  const none = shown.rows.filter(r => !r.host && r.kind !== OP && r.kind !== BAD);
  for (const l of [{marks: none, top: 24, strip: 34, bottom: shown.height}, ...shown.lanes]) {
    const marks = l.marks.filter(r => r.kind !== BAD).sort((p, q) => q.a - p.a);
    for (const flags of [false, true]) {
      let next = W + 400;
      for (const r of marks) {
        if ((r.kind === FAULT) !== flags) continue;
        const x = X(shown.pos[r.a]);
        if (x > W) { next = x; continue; }
        if (x < G - 8) break;
        const words = r.kind === NOTE && !r.op ? r.words : r.op, w = next - x < 24 ? 0 : width(words, 11) * (flags ? 1.1 : 1), fits = w && x + w + 16 < next;
        if (!flags && !fits && next - x < 3) continue;
        ctx.globalAlpha = lit && r.job && r.job !== lit && !state.job ? 0.2 : 1;
        (flags ? drawFlag : drawStep)(r, l, x, fits ? words : "", w);
        ctx.globalAlpha = 1;
        hits.push({x0: x - 5, x1: x + (fits ? w + 12 : 8), y0: l.strip - 9, y1: l.strip + 9, r, k: 0});
        next = x;
      }
    }
  }
}

function drawFlag(r, l, x, words, w) {
  ctx.fillStyle = colour.fault;
  ctx.fillRect(x - 1, l.top, 2, l.bottom - l.top);
  const right = x + (words ? w + 12 : 9), y = l.strip;
  ctx.beginPath();
  ctx.moveTo(x, y - 8); ctx.lineTo(right, y - 8); ctx.lineTo(right - 4, y); ctx.lineTo(right, y + 8); ctx.lineTo(x, y + 8);
  ctx.closePath();
  ctx.fillStyle = colour.faultbg; ctx.fill();
  ctx.strokeStyle = colour.fault; ctx.lineWidth = 1.25; ctx.stroke();
  if (words) text(words, x + 4, y, colour.ink, 11, true);
}

function drawStep(r, l, x, words) {
  ctx.beginPath();
  if (r.kind === STEP) ctx.arc(x, l.strip, 4 * fine, 0, 7); else ctx.rect(x - 3 * fine, l.strip - 3 * fine, 6 * fine, 6 * fine);
  ctx.fillStyle = colour.card; ctx.fill();
  ctx.strokeStyle = jobColour(r.job); ctx.lineWidth = 2 * fine; ctx.stroke();
  if (words) boxed(words, x + 8, l.strip, colour.ink, 11);
}

// drawBad draws the line of a broken promise, with a word on it.
function drawBad() {
  let taken = -1e9;
  for (const r of shown.rows) {
    if (r.kind !== BAD) continue;
    const x = X(shown.pos[r.a]);
    if (x < G || x > W) continue;
    ctx.fillStyle = colour.bad;
    ctx.fillRect(x - 1.5, 24, 3, shown.height);
    const words = "! " + (r.op || "violation"), w = width(words, 12) * 1.08 + 12;
    const left = x + w > W ? x - w : x;
    if (left > taken) {
      ctx.fillRect(left, 24, w, 19);
      text(words, left + 6, 34, colour.card, 12, true);
      taken = left + w;
    }
    hits.push({x0: Math.min(left, x - 4), x1: Math.max(x + 4, left + w), y0: 22, y1: 44, r, k: 0}, {x0: x - 3, x1: x + 3, y0: 44, y1: shown.height, r, k: 0});
  }
}

// drawCursor veils what comes after the step that is shown.
function drawCursor() {
  const s = shown.steps[state.at];
  if (!s) return;
  const x = X(shown.pos[s.s]);
  ctx.globalAlpha = 0.62;
  ctx.fillStyle = colour.card;
  ctx.fillRect(Math.max(G, x + 7), 22, W, shown.height);
  ctx.globalAlpha = 1;
  ctx.fillStyle = colour.cursor;
  ctx.fillRect(x - 0.5, 22, 1, shown.height);
  ctx.beginPath();
  ctx.moveTo(x - 6, 16); ctx.lineTo(x + 6, 16); ctx.lineTo(x, 24);
  ctx.fill();
  const y = shown.y.get(s.r);
  if (y !== undefined) {
    ctx.strokeStyle = colour.cursor;
    ctx.lineWidth = 1.5;
    ctx.beginPath(); ctx.arc(x, y, 9, 0, 7); ctx.stroke();
  }
}

function drawNames() {
  ctx.fillStyle = colour.card;
  ctx.fillRect(0, 0, G, shown.height);
  for (const l of shown.lanes) {
    ctx.fillStyle = colour.lane;
    ctx.fillRect(0, l.top, G - 2, l.bottom - l.top);
    ctx.save();
    ctx.beginPath(); ctx.rect(0, 0, G - 4, shown.height); ctx.clip();
    const y = l.bottom - l.top < 28 ? (l.top + l.bottom) / 2 : l.top + 14;
    const px = [13, 12, 11, 10].find(n => width(l.host, n) * 1.12 < G - 14) ?? 10;
    text(l.host, 8, y, colour.ink, px, true);
    if (!l.lines && !l.marks.length && W >= 600) text("nothing", 8 + width(l.host, 13) + 14, y, colour.dim, 11);
    ctx.restore();
    fontNow = "";
  }
}

// drawOver draws all of it small, with the window.
function drawOver() {
  const w = size(over, octx, 46), n = Math.max(1, Math.floor(w / 2)), count = new Float64Array(n), k = n / shown.length;
  for (const s of shown.steps) count[Math.min(n - 1, shown.pos[s.s] * k | 0)]++;
  const most = count.reduce((a, b) => Math.max(a, b), 1);
  octx.fillStyle = colour.edge;
  count.forEach((c, i) => { if (c) { const h = 3 + 25 * Math.log1p(c) / Math.log1p(most); octx.fillRect(i * 2, 44 - h, 1.5, h); } });
  for (const r of shown.rows) {
    if (r.kind !== FAULT && r.kind !== BAD) continue;
    const x = shown.pos[r.a] / shown.length * (w - 2);
    octx.fillStyle = r.kind === BAD ? colour.bad : colour.fault;
    if (r.kind === BAD) octx.fillRect(x - 1, 0, 3, 46);
    else { octx.beginPath(); octx.moveTo(x, 2); octx.lineTo(x + 7, 6); octx.lineTo(x, 10); octx.fill(); octx.fillRect(x, 2, 1, 14); }
  }
  const at = shown.steps[state.at];
  octx.fillStyle = colour.cursor;
  if (at) octx.fillRect(shown.pos[at.s] / shown.length * (w - 2), 0, 1, 46);
  const x0 = Math.max(0, state.v0 / shown.length * w), x1 = Math.min(w, state.v1 / shown.length * w);
  octx.globalAlpha = 0.55;
  octx.fillStyle = colour.card;
  octx.fillRect(0, 0, x0, 46); octx.fillRect(x1, 0, w, 46);
  octx.globalAlpha = 1;
  octx.strokeStyle = colour.ink;
  octx.lineWidth = 1.5;
  octx.strokeRect(x0 + 1, 1, Math.max(3, x1 - x0 - 2), 44);
}
