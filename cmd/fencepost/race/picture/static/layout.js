// What is shown, and where: from the filter to positions. A position is a
// number along the picture, a unit is about one event.
const state = {job: story, all: false, even: false, at: -1, v0: 0, v1: 1};
const shown = {rows: [], steps: [], stops: [], pos: new Float64Array(times.length), length: 1, lanes: [], height: 0, threads: [], cuts: []};

// visible says what the filter lets through. A job is shown with what concerned
// no job while it lived, on the hosts that had to do with it.
function visible() {
  const base = rows.filter(r => r.matters || state.all);
  if (!state.job) return base;
  let first = Infinity, last = -1;
  const hosts = new Set();
  for (const r of base) {
    if (r.job !== state.job) continue;
    first = Math.min(first, r.a);
    last = Math.max(last, r.a, r.z, ...r.effects.map(e => e.at));
    hosts.add(r.host);
  }
  const around = r => !r.job && r.a <= last && Math.max(r.a, r.z) >= first && (!r.host || hosts.has(r.host));
  return base.filter(r => r.job === state.job || (r.kind === BAD ? !r.job : around(r)));
}

// lay decides everything that doesn't change with the zoom.
function lay() {
  const list = shown.rows = visible();
  const used = new Uint8Array(times.length);
  for (const r of list) {
    used[r.a] = 1;
    if (r.z >= 0) used[r.z] = 1;
    for (const e of r.effects) used[e.at] = 1;
  }
  shown.stops = [];
  used.forEach((u, i) => u && shown.stops.push(i));
  warp();
  shown.steps = [];
  for (const r of list)
    for (let k = 0; k < Math.max(1, r.effects.length); k++) shown.steps.push({r, k, s: moment(r, k)});
  shown.steps.sort((p, q) => p.s - q.s || p.r.i - q.r.i);
  lanes();
  threads();
}

// warp gives each moment its position. By default a gap is a unit long if it is
// a usual one, hardly longer if it is a thousand times that.
function warp() {
  const {stops, pos} = shown;
  shown.cuts = [];
  const gaps = [];
  for (let i = 1; i < stops.length; i++) gaps.push(times[stops[i]] - times[stops[i - 1]]);
  const some = gaps.filter(g => g > 0).sort((a, b) => a - b);
  const usual = some.length ? some[some.length >> 1] : 1;
  const total = gaps.reduce((a, b) => a + b, 0);
  const refused = new Set(); // these get room for their words
  if (state.job) for (const r of shown.rows) if (r.err && r.z >= 0) refused.add(r.z);
  let p = 0;
  stops.forEach((s, i) => {
    if (i) {
      const g = gaps[i - 1];
      if (state.even && total) p += g / total * stops.length;
      else {
        const r = g / usual, d = r <= 1 ? Math.max(0.6, r) : 1 + 1.2 * Math.log10(r);
        if (r >= 100) shown.cuts.push({p0: p, p1: p + d, g});
        p += d + (refused.has(stops[i - 1]) ? 3.6 : 0);
      }
    }
    pos[s] = p;
  });
  shown.length = Math.max(p, 1);
}

const rank = h => ({client: 0, server: 2, share: 2, cluster: 3}[h] ?? 1);
const natural = new Intl.Collator("en", {numeric: true});

// pack puts spans on as few lines as it can, in order; free is when each line
// ends.
function pack(spans, free, most) {
  for (const s of spans) {
    let line = free.findIndex(end => end < s.from);
    if (line < 0) {
      line = free.length < most ? free.length : free.indexOf(Math.min(...free));
    }
    free[line] = Math.max(free[line] ?? 0, s.to);
    s.line = line;
  }
}

// until is where a bar ends that has no answer: where its host was next killed,
// or did last anything as that process.
function until(r, kills, proc) {
  const kill = (kills.get(r.host) || []).find(s => s > r.a);
  const end = Math.max(r.a, proc.to, ...r.effects.map(e => e.at));
  return kill !== undefined && kill < end ? Math.max(kill, ...r.effects.map(e => e.at)) : end;
}

// lanes gives each host a lane, each of its processes lines in it, each
// operation a line. Processes that didn't live at the same time share lines.
function lanes() {
  const byHost = new Map();
  for (const r of rows) if (r.host && !byHost.has(r.host)) byHost.set(r.host, {host: r.host, ops: [], marks: [], procs: new Map()});
  const kills = new Map();
  for (const r of shown.rows) {
    const lane = byHost.get(r.host);
    if (r.kind === FAULT && lane && /kill|crash|stop|power|panic|exit/.test(r.op)) kills.set(r.host, [...(kills.get(r.host) || []), r.a]);
    if (!lane) continue;
    if (r.kind !== OP) { lane.marks.push(r); continue; }
    lane.ops.push(r);
    const end = Math.max(r.a, r.z, ...r.effects.map(e => e.at));
    const p = lane.procs.get(r.proc);
    if (!p) lane.procs.set(r.proc, {name: r.proc, from: r.a, to: end});
    else { p.from = Math.min(p.from, r.a); p.to = Math.max(p.to, end); }
  }
  shown.lanes = [...byHost.values()].sort((p, q) => rank(p.host) - rank(q.host) || natural.compare(p.host, q.host));
  for (const lane of shown.lanes) {
    const procs = [...lane.procs.values()].sort((p, q) => p.from - q.from);
    const bands = []; // of processes one after the other
    for (const p of procs) {
      let band = bands.find(b => b.to < p.from);
      if (!band) bands.push(band = {to: 0, lines: 0, procs: []});
      band.to = p.to;
      band.procs.push(p);
      p.ops = lane.ops.filter(r => r.proc === p.name).sort((a, b) => a.a - b.a).map(r => ({r, from: r.a,
        to: Math.max(r.z >= 0 ? r.z : until(r, kills, p), ...r.effects.map(e => e.at))}));
      const free = [];
      pack(p.ops, free, 12);
      band.lines = Math.max(band.lines, free.length);
    }
    for (const b of bands) b.ops = b.procs.flatMap(p => p.ops).sort((p, q) => p.from - q.from);
    lane.bands = bands;
    lane.lines = bands.reduce((n, b) => n + b.lines, 0);
  }
  heights();
}

// heights makes the lines as high as fits a screen.
function heights() {
  const lines = shown.lanes.reduce((n, l) => n + l.lines, 0);
  const h = shown.line = Math.max(7, Math.min(22, Math.floor(760 / Math.max(1, lines))));
  let y = 46;
  shown.y = new Map();
  for (const lane of shown.lanes) {
    lane.top = y;
    lane.strip = y + 12;
    y += lane.marks.length ? 24 : 6;
    for (const b of lane.bands) {
      for (const o of b.ops) { o.y = y + o.line * h + h / 2; shown.y.set(o.r, o.y); }
      b.top = y;
      y += b.lines * h;
    }
    y += lane.lines ? 6 : 12;
    lane.bottom = y;
    y += 4;
  }
  shown.height = y + 2;
}

// threads follow each job through the lanes: its effects that change something,
// and the steps of its life.
function threads() {
  const by = new Map();
  const add = (job, s, y) => {
    if (!by.has(job)) by.set(job, []);
    by.get(job).push({s, y});
  };
  const strip = new Map(shown.lanes.map(l => [l.host, l.strip]));
  for (const r of shown.rows) {
    if (!r.job) continue;
    if (r.kind === OP && !looks.has(r.op)) for (const e of r.effects) e.err || add(r.job, e.at, shown.y.get(r));
    if (r.kind === STEP && strip.has(r.host)) add(r.job, r.a, strip.get(r.host));
  }
  shown.threads = [...by].map(([job, points]) => ({job, points: points.filter(p => p.y !== undefined).sort((p, q) => p.s - q.s)}));
}
