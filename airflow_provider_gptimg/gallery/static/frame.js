"use strict";
// Runs before the page is shown: what has to do with the frame that Airflow shows it in.
// Airflow tells this page the task, and not the iteration of a loop; its own address has that.
(() => {
  try {
    if (parent === window || !/\/tasks\/[^/]+$/.test(location.pathname)) return;
    const theirs = new URLSearchParams(parent.location.search), ours = new URLSearchParams(location.search);
    const names = ["region_id", "region_index"];
    if (ours.has("all") || !names.every((name) => theirs.has(name) && !ours.has(name))) return;
    names.forEach((name) => ours.set(name, theirs.get(name)));
    location.replace(`${location.pathname}?${ours}${location.hash}`);
  } catch { /* not within Airflow's page */ }
})();

// Airflow shows this page in a frame that may open no window, load nothing in its own place and, before
// Airflow 3.3, download nothing. Its own page may: the link is followed there. Here, since a link can be
// clicked before the page is whole.
(() => {
  if (parent === window) return;
  const outside = (link) => {
    const copy = parent.document.createElement("a");
    copy.href = link.dataset.top ?? link.href;
    copy.target = link.target;
    copy.rel = link.rel;
    if (link.hasAttribute("download")) copy.download = "";
    parent.document.body.append(copy);
    copy.click();
    copy.remove();
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-top], a[target], a[download]");
    if (!link) return;
    try {
      outside(link);
      event.preventDefault();
    } catch { /* a page of somebody else's: the link does what it can */ }
  });
})();

// Airflow keeps its colour mode in localStorage ("theme") and as a class of its page. Runs before the
// page is painted, so that a dark page never flashes white.
(() => {
  const root = document.documentElement;
  const follow = () => {
    let mode = null;
    try {
      const outer = parent !== window ? parent.document.documentElement : null;
      mode = outer && outer.classList.contains("dark") ? "dark" : outer && outer.classList.contains("light") ? "light" : localStorage.getItem("theme");
    } catch { /* not within Airflow's page: the system decides */ }
    if (mode !== "dark" && mode !== "light") mode = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    root.dataset.theme = mode;
  };
  follow();
  if (parent !== window) root.classList.add("within"); // Airflow's page says already what this is about
  addEventListener("storage", follow);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", follow);
  try {
    if (parent !== window) new MutationObserver(follow).observe(parent.document.documentElement, { attributes: true, attributeFilter: ["class"] });
  } catch { /* as above */ }
})();
