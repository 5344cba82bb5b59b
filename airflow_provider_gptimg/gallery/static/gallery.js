"use strict";
(() => {
  const dialog = document.getElementById("viewer");
  const find = (selector) => dialog.querySelector(selector);
  const frames = () => [...document.querySelectorAll("button.frame")];
  let shown = null;

  const mark = (image) => {
    const frame = image.closest("button.frame");
    if (!frame) return;
    if (!image.dataset.second) { // the small one is not to be had: perhaps the picture itself is
      image.dataset.second = "1";
      image.src = frame.dataset.full;
      return;
    }
    const box = document.createElement("div");
    box.className = "frame";
    const card = frame.closest(".card");
    card.classList.replace("ready", "deleted");
    image.remove();
    const state = document.createElement("p");
    state.className = "state";
    const strong = document.createElement("strong");
    strong.textContent = "No longer there";
    const why = document.createElement("span");
    why.textContent = "The picture was deleted, moved or changed.";
    state.append(strong, why);
    box.append(state);
    frame.replaceWith(box);
  };
  document.addEventListener("error", (event) => { if (event.target.matches?.(".card img")) mark(event.target); }, true);
  document.querySelectorAll(".card img").forEach((image) => { if (image.complete && image.naturalWidth === 0 && image.currentSrc) mark(image); });

  const say = (text) => { find(".said").textContent = text; };
  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch { // plain http: the clipboard is closed to scripts, except this way
      const area = document.createElement("textarea");
      area.value = text;
      dialog.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    say("Copied");
  };

  const show = (frame) => {
    shown = frame;
    const small = frame.querySelector("img");
    const image = find("figure img");
    image.removeAttribute("src");
    image.width = small.getAttribute("width");
    image.height = small.getAttribute("height");
    image.alt = small.alt;
    image.src = frame.dataset.full;
    find(".prompt").textContent = frame.dataset.prompt || "No prompt recorded";
    const facts = frame.closest(".card").querySelector("dl").cloneNode(true);
    facts.hidden = false;
    facts.querySelectorAll("dd.copy").forEach((value) => {
      const text = value.textContent;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Copy";
      button.setAttribute("aria-label", `Copy ${value.previousElementSibling.textContent}`);
      button.addEventListener("click", () => copy(text));
      value.append(button);
    });
    find("dl").replaceWith(facts);
    find("a.open").href = frame.dataset.full;
    find("a.download").href = frame.dataset.download;
    const all = frames();
    find(".before").disabled = all[0] === frame;
    find(".after").disabled = all[all.length - 1] === frame;
    say("");
    if (!dialog.open) dialog.showModal();
  };
  const step = (by) => {
    const all = frames();
    const next = all[all.indexOf(shown) + by];
    if (next) show(next);
  };
  document.addEventListener("click", (event) => {
    const frame = event.target.closest("button.frame");
    if (frame) show(frame);
  });
  find(".close").addEventListener("click", () => dialog.close());
  find(".before").addEventListener("click", () => step(-1));
  find(".after").addEventListener("click", () => step(1));
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => { shown?.focus(); find("figure img").removeAttribute("src"); });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });

  // Links to single pictures lead here.
  const named = () => {
    const frame = location.hash.startsWith("#picture-") && document.getElementById(location.hash.slice(1))?.querySelector("button.frame");
    if (frame) show(frame);
  };
  addEventListener("hashchange", named);
  named();

  const span = (seconds) => {
    const [size, name] = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]].find(([unit]) => seconds >= unit) || [1, "s"];
    return `${Math.round(seconds / size)} ${name}`;
  };
  setInterval(() => document.querySelectorAll(".expiry").forEach((note) => {
    const left = (new Date(note.dataset.until) - Date.now()) / 1000;
    note.textContent = left > 0 ? `expires in ${span(left)}` : "expired";
  }), 1000);

  // How far they are is asked for those that one sees.
  const ask = async (bar) => {
    try {
      const answer = await fetch(bar.dataset.progress);
      const { progress } = answer.ok ? await answer.json() : {};
      if (typeof progress !== "number") return;
      bar.value = progress;
      bar.textContent = `${progress} %`;
      bar.title = `${progress} %`;
      bar.hidden = false;
    } catch { /* the next time, perhaps */ }
  };
  const askAll = () => {
    const seen = (bar) => {
      const box = bar.closest(".card").getBoundingClientRect();
      return box.bottom > 0 && box.top < innerHeight;
    };
    return Promise.all([...document.querySelectorAll("[data-progress]")].filter(seen).slice(0, 12).map(ask));
  };

  // What is still coming is asked for again, without a flash and without losing the place.
  const count = (page) => page.querySelectorAll("button.frame, .card.failed").length;
  const refresh = async () => {
    const main = document.querySelector("main");
    if (!main.dataset.refresh) return;
    if (!dialog.open && !document.hidden) {
      try {
        const answer = await fetch(location.href);
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        // A host that is new to the page is not in its policy: only a new page may load from there.
        if (answer.ok && count(page) !== count(document)) return location.reload();
        const [said, now] = [page, document].map((any) => any.querySelector("p.progress"));
        if (said && now && said.textContent !== now.textContent) now.textContent = said.textContent;
        await askAll();
      } catch { /* the next time, perhaps */ }
    }
    setTimeout(refresh, main.dataset.refresh * 1000);
  };
  if (document.querySelector("main").dataset.refresh) {
    askAll();
    setTimeout(refresh, 4000);
  }
})();
