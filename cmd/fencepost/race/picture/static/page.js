// The controls, the table, the address.
const $ = id => document.getElementById(id);
const KEEP = 250; // rows in the table
let pending = 0, later = 0, mine = "";

// refresh draws at the next frame, and what is slower soon after; same: only the
// step is another.
function refresh(same) {
  if (!same) stale = true;
  if (!pending) pending = requestAnimationFrame(() => { pending = 0; draw(); });
  clearTimeout(later);
  later = setTimeout(() => { table(); remember(); }, 120);
  words();
}

function el(tag, className, ...inside) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  e.append(...inside);
  return e;
}

// words says what the step at hand is, and how far it is.
function words() {
  const box = $("step"), s = shown.steps[state.at];
  if (!s) {
    box.className = "";
    box.replaceChildren(el("p", "", shown.steps.length ? shown.steps.length + " steps. Step through with the arrow keys or the buttons, or choose one in the picture or in the table." : "Nothing to show."));
    return;
  }
  const r = s.r, e = r.effects[s.k];
  box.className = KINDS[r.kind] === "violation" ? "bad" : r.kind === FAULT ? "fault" : "";
  const who = [r.proc || r.host || "everywhere", r.task && "(" + brief(r.task, r.job) + ")"].filter(Boolean).join(" ");
  const parts = [];
  if (r.kind === OP) {
    const t = i => span(times[i]);
    if (r.called) parts.push("called at " + t(r.a));
    r.effects.forEach((f, k) => parts.push((k === s.k && r.effects.length > 1 ? "now: " : "") + (f.err ? "refused (" + f.err + ")" : k ? "done again" : "done") + " at " + t(f.at)));
    if (r.z < 0) parts.push("no answer ever came");
    else parts.push((r.err ? "answer " + r.err : "answer") + " at " + t(r.z) + (e && e.at > r.z ? ", before this effect" : ""));
  } else if (r.z >= 0) parts.push("lasts " + span(times[r.z] - times[r.a]));
  if (r.words) parts.push(r.words);
  box.replaceChildren(
    el("p", "", el("b", "", who + ": " + what(r)), r.job ? " \u00b7 job " + short(r.job) : ""),
    el("p", "", parts.join("; ")),
    el("p", "", el("small", "", "step " + (state.at + 1) + " of " + shown.steps.length + ", at " + span(times[s.s]))));
}

// table lists the steps in the window, around the one at hand.
function table() {
  const {steps, pos} = shown;
  let list = [];
  steps.forEach((s, i) => { if (pos[s.s] >= state.v0 - 1e-9 && pos[s.s] <= state.v1 + 1e-9) list.push(i); });
  const all = list.length;
  if (all > KEEP) {
    const mid = Math.max(0, list.indexOf(state.at)), from = Math.min(Math.max(0, mid - KEEP / 2), all - KEEP);
    list = list.slice(from, from + KEEP);
  }
  $("shown").textContent = (state.job ? "Of job " + state.job + ", with what concerned no job meanwhile. " : "") +
    (all > KEEP ? KEEP + " of the " + all + " events in the window: zoom in, or step." : all === steps.length ? "All " + all + "." : "The " + all + " in the window, of " + steps.length + ".");
  $("rows").replaceChildren(...list.map(i => {
    const s = steps[i], r = s.r, link = el("a", "", span(times[s.s])), tr = el("tr", KINDS[r.kind]);
    link.href = "#" + fragment(i);
    tr.dataset.step = i;
    if (i === state.at) tr.setAttribute("aria-current", "step");
    const cells = [link, r.proc || r.host, (s.k ? "again: " : "") + what(r), "", result(r)];
    if (r.job) {
      const a = el("a", "", short(r.job));
      a.href = "#job=" + encodeURIComponent(r.job);
      a.title = r.job;
      cells[3] = a;
    }
    for (const c of cells) tr.append(el("td", "", c));
    tr.children[2].title = r.from + (r.to ? " \u2192 " + r.to : "");
    return tr;
  }));
  const now = $("rows").querySelector("[aria-current]"), box = $("rows").closest(".scroll");
  if (!now) return;
  const above = now.getBoundingClientRect().top - box.getBoundingClientRect().top;
  if (above < 30 || above > box.clientHeight - 60) box.scrollTop += above - box.clientHeight / 3;
}

// fragment is a moment as an address: t is its time, s its number in this file.
function fragment(at) {
  const p = new URLSearchParams(), s = shown.steps[at];
  p.set("job", state.job);
  if (s) { p.set("t", times[s.s]); p.set("s", s.s + (s.k ? "." + s.k : "") + "-" + s.r.i); }
  if (state.v0 > 1e-6 || state.v1 < shown.length - 1e-6) p.set("w", state.v0.toFixed(2) + "-" + state.v1.toFixed(2));
  if (state.all) p.set("all", 1);
  if (state.even) p.set("even", 1);
  return p.toString();
}

function remember() {
  mine = fragment(state.at);
  history.replaceState(null, "", "#" + mine);
}

// recall takes the state from the address, or begins where it explains most.
function recall() {
  const hash = location.hash.slice(1);
  if (hash && hash === mine) return;
  const p = new URLSearchParams(hash);
  state.job = p.has("job") ? whole(p.get("job")) : hash ? "" : story;
  state.all = p.get("all") === "1";
  state.even = p.get("even") === "1";
  $("all").checked = state.all;
  $("even").checked = state.even;
  $("job").value = state.job;
  lay();
  const w = /^(-?[\d.]+)-([\d.]+)$/.exec(p.get("w") || "");
  if (w && +w[2] > +w[1]) look(+w[1], +w[2]);
  else begin(!p.has("t"));
  state.at = -1;
  if (p.has("t")) {
    const t = +p.get("t"), exact = p.get("s");
    state.at = shown.steps.findIndex(s => exact === s.s + (s.k ? "." + s.k : "") + "-" + s.r.i && times[s.s] === t);
    if (state.at < 0) state.at = shown.steps.findIndex(s => times[s.s] >= t);
    if (state.at < 0) state.at = shown.steps.length - 1;
    reveal();
  }
  about();
  refresh();
}

// whole is the job that a unique beginning or end of its id names.
function whole(id) {
  if (jobAt.has(id)) return id;
  const like = id ? jobs.filter(j => j.id.startsWith(id) || j.id.endsWith(id)) : [];
  return like.length === 1 ? like[0].id : "";
}

// begin shows all if it can be read, else the end of the story.
function begin(tight) {
  const can = Math.max(20, canvas.clientWidth / 6);
  const bad = shown.rows.find(r => r.kind === BAD);
  look(0, shown.length);
  if (!tight || !bad || shown.length <= can) return;
  const p = shown.pos[bad.a] + can * 0.12;
  look(p - can, p);
}

// look sets the window, within bounds.
function look(v0, v1) {
  const most = shown.length, n = Math.min(Math.max(v1 - v0, 3), most);
  v0 = Math.max(0, Math.min(v0 + (v1 - v0 - n) / 2, most - n));
  state.v0 = v0;
  state.v1 = v0 + n;
}

function zoom(by, at) {
  const n = state.v1 - state.v0, c = at ?? (shown.steps[state.at] ? shown.pos[shown.steps[state.at].s] : (state.v0 + state.v1) / 2);
  const inside = Math.max(state.v0, Math.min(c, state.v1));
  look(inside - (inside - state.v0) * by, inside - (inside - state.v0) * by + n * by);
  refresh();
}

// reveal moves the window to the step, and says whether it had to.
function reveal() {
  const s = shown.steps[state.at], n = state.v1 - state.v0, was = state.v0;
  if (!s) return false;
  const p = shown.pos[s.s];
  if (p < state.v0 + n * 0.03 || p > state.v1 - n * 0.1) look(p - n * 0.6, p + n * 0.4);
  return state.v0 !== was;
}

function go(i) {
  if (!shown.steps.length) return;
  state.at = Math.max(0, Math.min(i, shown.steps.length - 1));
  refresh(!reveal());
}

function choose(job) {
  const at = shown.steps[state.at];
  state.job = job;
  $("job").value = job;
  lay();
  begin(true);
  state.at = at ? shown.steps.findIndex(s => s.s >= at.s) : -1;
  reveal();
  about();
  refresh();
}

// about says what the filter does, and what to do about it.
function about() {
  const hidden = rows.length - shown.rows.length;
  $("about").textContent = (state.job ? "Job " + state.job + " alone. " : "All jobs. ") +
    (hidden ? hidden + " of " + rows.length + " operations and events are hidden by the filter" + (state.job ? ": choose All jobs for them." : ": polls, heartbeats and the like.") : "");
  canvas.setAttribute("aria-label", shown.lanes.length + " lanes, " + shown.steps.length + " steps, from " + span(0) + " to " + span(times.length ? times[times.length - 1] : 0) + ". The table below has the same.");
}

function nextFlag() {
  const i = shown.steps.findIndex((s, i) => i > state.at && (s.r.kind === FAULT || s.r.kind === BAD));
  go(i >= 0 ? i : Math.max(0, shown.steps.findIndex(s => s.r.kind === FAULT || s.r.kind === BAD)));
}

function nextJob(by) {
  const n = jobs.length + 1, i = state.job ? jobAt.get(state.job) + 1 : 0, to = (i + by + n) % n;
  choose(to ? jobs[to - 1].id : "");
}

function relay() { // a switch: the same step, if it is still there
  const at = shown.steps[state.at];
  lay();
  state.at = at ? shown.steps.findIndex(s => s.r === at.r && s.k === at.k) : -1;
  begin(false);
  reveal();
  about();
  refresh();
}

function hit(ev) {
  const box = canvas.getBoundingClientRect(), x = ev.clientX - box.left, y = ev.clientY - box.top;
  for (let i = hits.length - 1; i >= 0; i--) {
    const h = hits[i];
    if (x >= h.x0 && x <= h.x1 && y >= h.y0 && y <= h.y1) return h;
  }
  return null;
}

function hover(ev) {
  const h = hit(ev), tip = $("tip");
  tip.hidden = !h;
  if ((h && h.r.job || "") !== lit) { lit = h && h.r.job || ""; if (!state.job) refresh(); }
  if (!h) return;
  tip.textContent = (h.r.proc || h.r.host || "") + ": " + what(h.r) + (result(h.r) ? " \u00b7 " + result(h.r) : "") + (h.r.job ? " \u00b7 job " + short(h.r.job) : "") + " \u00b7 " + span(times[moment(h.r, h.k)]);
  const box = $("wrap").getBoundingClientRect(), x = ev.clientX - box.left, y = ev.clientY - box.top;
  tip.style.left = Math.max(0, Math.min(x + 12, box.width - tip.offsetWidth - 4)) + "px";
  tip.style.top = (y + 16 + tip.offsetHeight > box.height ? y - tip.offsetHeight - 10 : y + 16) + "px";
}

// fingers: one drags, two zoom.
const fingers = new Map();
let moved = 0;
function down(ev) {
  fingers.set(ev.pointerId, ev.clientX);
  moved = 0;
  canvas.setPointerCapture(ev.pointerId);
}
function move(ev) {
  if (!fingers.has(ev.pointerId)) { hover(ev); return; }
  const was = fingers.get(ev.pointerId), scale = (state.v1 - state.v0) / room(), left = canvas.getBoundingClientRect().left;
  if (fingers.size === 2) {
    const [a, b] = [...fingers.values()], before = Math.abs(a - b);
    fingers.set(ev.pointerId, ev.clientX);
    const [c, d] = [...fingers.values()], after = Math.abs(c - d);
    if (before > 5 && after > 5) zoom(before / after, P((c + d) / 2 - left));
  } else {
    moved += Math.abs(ev.clientX - was);
    fingers.set(ev.pointerId, ev.clientX);
    if (moved > 3) { look(state.v0 - (ev.clientX - was) * scale, state.v1 - (ev.clientX - was) * scale); refresh(); }
  }
}
function up(ev) {
  if (!fingers.delete(ev.pointerId) || ev.type === "pointercancel" || moved > 3 || fingers.size) return;
  const h = hit(ev);
  if (h) go(shown.steps.findIndex(s => s.r === h.r && s.k === h.k));
}

function wheel(ev) {
  if (ev.ctrlKey || ev.metaKey) {
    ev.preventDefault();
    zoom(Math.exp(Math.max(-60, Math.min(60, ev.deltaY)) / 150), P(ev.clientX - canvas.getBoundingClientRect().left));
  } else if (Math.abs(ev.deltaX) > Math.abs(ev.deltaY)) {
    ev.preventDefault();
    const by = ev.deltaX * (state.v1 - state.v0) / room();
    look(state.v0 + by, state.v1 + by);
    refresh();
  }
}

function overTo(ev) {
  const box = over.getBoundingClientRect(), n = state.v1 - state.v0, p = (ev.clientX - box.left) / box.width * shown.length;
  look(p - n / 2, p + n / 2);
  refresh();
}

function key(ev) {
  if (ev.ctrlKey || ev.metaKey || ev.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(ev.target.tagName)) return;
  const acts = {ArrowRight: () => go(state.at + 1), ArrowLeft: () => go(state.at < 0 ? shown.steps.length - 1 : state.at - 1), Home: () => go(0), End: () => go(shown.steps.length - 1),
    "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1 / 0.6), "0": fit, f: nextFlag, j: () => nextJob(1), k: () => nextJob(-1), Escape: () => choose("")};
  const act = acts[ev.key.length === 1 ? ev.key.toLowerCase() : ev.key];
  if (!act) return;
  ev.preventDefault();
  act();
}

function fit() { look(0, shown.length); refresh(); }

function start() {
  $("job").append(new Option("All jobs (" + jobs.length + ")", ""), ...jobs.map(j =>
    new Option(short(j.id) + (j.bad ? " \u2013 violation" : "") + " \u2013 " + (j.hosts.size === 1 ? "1 lane, " : j.hosts.size + " lanes, ") + j.rows + " events", j.id)));
  $("stage").hidden = false;
  theme();
  const on = {first: () => go(0), prev: () => go(state.at < 0 ? shown.steps.length - 1 : state.at - 1), next: () => go(state.at + 1), last: () => go(shown.steps.length - 1), flag: nextFlag,
    in: () => zoom(0.6), out: () => zoom(1 / 0.6), fit, jobprev: () => nextJob(-1), jobnext: () => nextJob(1)};
  for (const id in on) $(id).addEventListener("click", on[id]);
  $("flag").disabled = !rows.some(r => r.kind === FAULT || r.kind === BAD);
  $("job").addEventListener("change", () => choose($("job").value));
  $("all").addEventListener("change", () => { state.all = $("all").checked; relay(); });
  $("even").addEventListener("change", () => { state.even = $("even").checked; relay(); });
  $("rows").addEventListener("click", ev => {
    const tr = ev.target.closest("tr");
    if (tr && tr.dataset.step && !ev.target.closest("a") && !String(getSelection())) go(+tr.dataset.step);
  });
  document.addEventListener("keydown", key);
  canvas.addEventListener("pointerdown", down);
  canvas.addEventListener("pointermove", move);
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", () => { $("tip").hidden = true; if (lit) { lit = ""; refresh(); } });
  canvas.addEventListener("dblclick", ev => { const h = hit(ev); if (h && h.r.job) choose(h.r.job); });
  canvas.addEventListener("wheel", wheel, {passive: false});
  over.addEventListener("pointerdown", ev => { over.setPointerCapture(ev.pointerId); overTo(ev); });
  over.addEventListener("pointermove", ev => { if (ev.buttons) overTo(ev); });
  window.addEventListener("hashchange", recall);
  window.addEventListener("resize", () => refresh());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { theme(); refresh(); });
  recall();
}
start();
