// The events, as they came; nothing here depends on what is shown.
const OP = 0, FAULT = 1, NOTE = 2, STEP = 3, BAD = 4;
const KINDS = ["operation", "fault", "note", "step", "violation"];
const raw = JSON.parse(document.getElementById("data").textContent);
const texts = raw.texts;
const times = new Float64Array(raw.times.length);
raw.times.reduce((sum, d, i) => (times[i] = sum + d), 0);
const rows = raw.rows.map((r, i) => {
  const row = {i, kind: r[0], host: texts[r[1]], proc: texts[r[2]], task: texts[r[3]], op: texts[r[4]], from: texts[r[5]], to: texts[r[6]],
    job: texts[r[7]], err: texts[r[8]], words: texts[r[9]], a: r[10], z: r[11], matters: !!(r[12] & 1), called: !!(r[12] & 2), effects: []};
  for (let k = 13; k < r.length; k += 2) row.effects.push({at: r[k], err: texts[r[k + 1]]});
  return row;
});
const story = texts[raw.story];

// Operations that look and change nothing: they move no job.
const looks = new Set(["read", "list", "stat", "look", "identify", "open", "lock", "query", "status", "readdir", "lookup"]);

// jobs are all jobs, those that say most first.
const jobs = (() => {
  const by = new Map();
  for (const r of rows) {
    if (!r.job) continue;
    let j = by.get(r.job);
    if (!j) by.set(r.job, j = {id: r.job, hosts: new Set(), rows: 0, bad: 0, n: by.size});
    j.rows++;
    if (r.kind === BAD) j.bad++;
    if (r.host) j.hosts.add(r.host);
  }
  return [...by.values()].sort((p, q) => q.bad - p.bad || p.n - q.n);
})();
const jobAt = new Map(jobs.map((j, i) => [j.id, i]));

// short names a job by as little of its id's end as tells it from the others.
const short = (() => {
  const ids = jobs.map(j => j.id);
  let n = 4;
  while (n < 40 && new Set(ids.map(s => s.slice(-n))).size < ids.length) n++;
  return id => id.length <= Math.max(10, n + 1) ? id : "\u2026" + id.slice(-n);
})();

// brief puts a job's short name for its id, wherever it stands in a path.
function brief(text, job) {
  return job && short(job) !== job ? text.split(job).join(short(job)) : text;
}

// place is the part of a path that says where: the directory, with its owner.
function place(path) {
  const p = path.split("/");
  return p.length > 2 && /^(claims|sealed|drafts|hosts)$/.test(p[0]) ? p[0] + "/" + p[1] : p[0];
}

// label is what is written into a bar.
function label(r) {
  const where = [r.from, r.to].filter(Boolean).map(p => brief(place(p), r.job));
  return r.op + (where.length ? " " + where.join(" \u2192 ") : "");
}

// span is a time in its largest units.
function span(ns) {
  const trim = (x, digits) => String(+x.toFixed(digits));
  if (ns < 1e3) return trim(ns, 0) + " ns";
  if (ns < 1e6) return trim(ns / 1e3, 1) + " \u00b5s";
  if (ns < 1e9) return trim(ns / 1e6, 3) + " ms";
  if (ns < 60e9) return trim(ns / 1e9, 4) + " s";
  const ms = Math.round(ns / 1e6), h = Math.floor(ms / 3600e3), m = Math.floor(ms % 3600e3 / 60e3);
  return (h ? h + "h" : "") + m + "m" + trim(ms % 60e3 / 1e3, 3) + "s";
}

// moment is where a row stands in the order; k = its effect, if it has several.
function moment(r, k) {
  if (r.effects.length) return r.effects[k || 0].at;
  return r.kind === OP && r.z >= 0 ? r.z : r.a;
}

// result is what became of an operation, in words.
function result(r) {
  const out = [];
  if (r.kind === OP) {
    out.push(r.z < 0 ? "no answer" : r.err ? "answer " + r.err : "done");
    r.effects.forEach((e, k) => {
      const word = k ? "again" : "effect";
      if (e.err && e.err !== r.err) out.push(word + " " + e.err);
      else if (!e.err && (r.err || k || r.z < 0)) out.push(word + " done");
    });
  }
  if (r.words) out.push(r.words);
  return out.join(", ");
}

function what(r) {
  let out = r.op;
  if (r.kind === BAD) out = ("VIOLATION " + out).trim();
  if (r.kind === FAULT) out = ("fault: " + out).trim();
  if (r.kind === NOTE) out = r.op ? "note: " + r.op : "note";
  if (r.from && r.to) out += " " + r.from + " \u2192 " + r.to;
  else if (r.from || r.to) out += " " + (r.from || r.to);
  return brief(out, r.job);
}
