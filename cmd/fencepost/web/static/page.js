// Refreshes what is shown: on events of this host, and every few seconds.
// Everything here can be left out: pages are whole without it.
(function () {
  "use strict";
  var every = Number(document.body.dataset.refresh) * 1000;
  var main = document.getElementById("main");
  var busy = false, last = Date.now();

  function refresh() {
    if (busy || document.hidden) return;
    busy = true;
    last = Date.now();
    fetch(location.href, { credentials: "same-origin" }).then(function (r) {
      return r.text();
    }).then(function (text) {
      var fresh = new DOMParser().parseFromString(text, "text/html");
      var scrolled = document.querySelector(".scroll");
      var left = scrolled ? scrolled.scrollLeft : 0;
      var to = fresh.getElementById("main");
      if (to) main.innerHTML = to.innerHTML;
      var foot = fresh.querySelector("footer");
      if (foot) document.querySelector("footer").innerHTML = foot.innerHTML;
      scrolled = document.querySelector(".scroll");
      if (scrolled) scrolled.scrollLeft = left;
      gone(false);
    }).catch(function () { gone(true); }).then(function () { busy = false; });
  }

  // This host doesn't answer any more: say so above what is old by now.
  function gone(is) {
    var note = document.getElementById("gone");
    if (!is) { if (note) note.remove(); return; }
    if (note) return;
    note = document.createElement("p");
    note.id = "gone";
    note.className = "notice bad";
    note.textContent = "This host does not answer since " + new Date().toLocaleTimeString() + ". What follows is from before.";
    main.prepend(note);
  }

  function cell(label, text, href) {
    var td = document.createElement("td");
    td.dataset.label = label;
    if (href) {
      var a = document.createElement("a");
      a.className = "mono";
      a.href = href;
      a.textContent = text;
      td.append(a);
    } else {
      td.textContent = text || "–";
    }
    return td;
  }

  function live(source) {
    var body = document.getElementById("events"), link = document.getElementById("link");
    source.onopen = function () { link.textContent = "connected"; };
    source.onerror = function () { link.textContent = "connection lost: trying again"; };
    source.onmessage = function (m) {
      var e = JSON.parse(m.data), tr = document.createElement("tr");
      tr.append(cell("Time", e.time.slice(11, 23)), cell("Event", e.event),
        cell("Job", e.job, e.job && "/jobs/" + encodeURIComponent(e.job)), cell("Stage", e.stage), cell("Token", e.token),
        cell("Result", [e.result, e.detail].filter(Boolean).join(" ")));
      body.prepend(tr);
      while (body.children.length > 200) body.lastChild.remove();
    };
  }

  if (!every) return;
  var watches = document.body.dataset.tab === "live", source = null;
  function connect() {
    if (document.hidden) {
      if (source) source.close();
      source = null;
      return;
    }
    if (source) return;
    source = new EventSource("/events");
    if (watches) { live(source); return; }
    source.onmessage = function () { if (Date.now() - last > 2000) refresh(); };
  }
  document.addEventListener("visibilitychange", function () { connect(); if (!watches) refresh(); });
  window.addEventListener("pagehide", function () { if (source) source.close(); });
  connect();
  if (!watches) setInterval(function () { if (Date.now() - last >= every) refresh(); }, 1000);
})();
