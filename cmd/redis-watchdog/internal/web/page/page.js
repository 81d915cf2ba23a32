// Brings the page up to date in place: it asks for the page itself, once a
// second, and copies over what has changed, so that focus, open parts and the
// place on the page stay. Text comes over as text, never as markup. It says so
// when the watchdog does not answer.
"use strict";
(() => {
  const every = 1000, slowest = 15000, limit = 4000, old = 3500;
  const live = document.getElementById("live");
  const stale = document.getElementById("stale");
  let tag = "", wait = every, heard = Date.now(), timer = 0, asking = false, refused = "";

  const same = (a, b) => a && b && a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.id || "") === (b.id || "");

  function patch(now, next) {
    if (now.nodeType === Node.TEXT_NODE) {
      if (now.data !== next.data) now.data = next.data;
      return;
    }
    if (now.nodeType !== Node.ELEMENT_NODE || now.hasAttribute("data-keep")) return;
    for (const {name, value} of next.attributes) {
      if (name !== "open" && now.getAttribute(name) !== value) now.setAttribute(name, value);
    }
    for (const {name} of [...now.attributes]) {
      if (name !== "open" && !next.hasAttribute(name)) now.removeAttribute(name);
    }
    children(now, next);
  }

  function children(now, next) {
    let at = now.firstChild;
    for (const child of [...next.childNodes]) {
      if (!same(at, child) && child.id) {
        const moved = [...now.children].find((c) => c.id === child.id);
        if (moved) { now.insertBefore(moved, at); at = moved; }
      }
      if (same(at, child)) {
        patch(at, child);
        at = at.nextSibling;
      } else {
        now.insertBefore(document.importNode(child, true), at);
      }
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  }

  function show(text) {
    const next = new DOMParser().parseFromString(text, "text/html");
    if (!next.getElementById("page")) throw new Error("this is not the watchdog's page");
    if (next.documentElement.dataset.tag !== document.documentElement.dataset.tag) {
      location.reload(); // another version: its script and style too
      return;
    }
    document.documentElement.dataset.verdict = next.documentElement.dataset.verdict;
    document.title = next.title;
    const icon = document.querySelector("link[rel=icon]"), fresh = next.querySelector("link[rel=icon]");
    if (icon && fresh && icon.getAttribute("href") !== fresh.getAttribute("href")) icon.href = fresh.getAttribute("href");
    for (const part of ["header", "main", "footer"]) patch(document.querySelector(part), next.querySelector(part));
  }

  async function ask() {
    if (asking) return;
    asking = true;
    clearTimeout(timer);
    const stop = new AbortController();
    const late = setTimeout(() => stop.abort(), limit);
    try {
      const answer = await fetch("/", {cache: "no-store", credentials: "same-origin", redirect: "error",
        headers: tag ? {"If-None-Match": tag} : {}, signal: stop.signal});
      if (answer.status !== 304) {
        if (!answer.ok) throw new Error("it answers " + answer.status);
        show(await answer.text());
        tag = answer.headers.get("ETag") || "";
      }
      heard = Date.now();
      wait = every;
      refused = "";
    } catch (problem) {
      refused = stop.signal.aborted ? "no answer in time" : problem.message;
      wait = Math.min(wait * 2, slowest);
    } finally {
      clearTimeout(late);
      asking = false;
    }
    tell();
    // Not all browsers at the same instant.
    if (!document.hidden) timer = setTimeout(ask, wait * (0.9 + Math.random() / 5));
  }

  function tell() {
    const age = Date.now() - heard, away = age > old;
    // The alert is read aloud: it must not change every second.
    const word = away ? "old: " + Math.round(age / 1000) + " s" : "live";
    const line = away ? "This watchdog does not answer (" + refused + "). What is shown is old. The fence inside Redis stands without it." : "";
    if (live.textContent !== word) live.textContent = word;
    live.className = away ? "off" : "on";
    if (stale.textContent !== line) stale.textContent = line;
    document.body.classList.toggle("stale", away);
  }

  document.addEventListener("visibilitychange", () => { if (!document.hidden) { wait = every; ask(); } });
  window.addEventListener("online", () => { wait = every; ask(); });
  setInterval(() => { if (!document.hidden) tell(); }, 1000);
  ask();
})();
