// What is looked for on the Clients page is kept when its server goes away and the page is loaded anew.
(() => {
  "use strict";

  // What is looked for is put into the address at once: a page that is loaded anew, because its server went away
  // before it heard of it, looks for that.
  const lookFor = (text) => {
    const address = new URL(location.href);
    if (text) address.searchParams.set("q", text);
    else address.searchParams.delete("q");
    address.searchParams.delete("page");
    if (address.href !== location.href) history.replaceState(history.state, "", address);
  };
  document.addEventListener("input", ({ target }) => {
    if (location.pathname === "/clients" && target.closest(".search")) lookFor(target.value.trim());
  });
  // The cross keeps its events to itself.
  const cleared = ({ type, key, target }) => {
    const isPressed = type === "click" || key === "Enter" || key === " ";
    if (isPressed && location.pathname === "/clients" && target.closest(".search .q-field__focusable-action")) lookFor("");
  };
  document.addEventListener("click", cleared, true);
  document.addEventListener("keyup", cleared, true);

  // Who types does not look up: what comes until the page is left, and until the new one can take it, is typed there.
  const LEFT = "lumen_search_left";
  addEventListener("pagehide", () => {
    const field = document.activeElement;
    if (location.pathname === "/clients" && field.matches(".search input") && window.lumenIsAway())
      sessionStorage.setItem(LEFT, JSON.stringify([field.value, field.selectionStart, field.selectionEnd]));
  });
  const left = sessionStorage.getItem(LEFT);
  sessionStorage.removeItem(LEFT);
  if (!left || location.pathname !== "/clients") return;
  let [text, start, end] = JSON.parse(left);
  const type = (event) => {
    const { key } = event;
    if (event.target !== document.body || event.ctrlKey || event.altKey || event.metaKey) return;
    if (key === "Backspace" && start === end) start = Math.max(0, start - 1);
    else if (key !== "Backspace" && key.length !== 1) return;
    const put = key === "Backspace" ? "" : key;
    text = text.slice(0, start) + put + text.slice(end);
    start = end = start + put.length;
    event.preventDefault();
  };
  const putBack = () => {
    if (window.lumenIsAway()) {
      setTimeout(putBack, 20);
      return;
    }
    document.removeEventListener("keydown", type, true);
    const field = document.querySelector(".search input");
    if (!field || document.activeElement !== document.body) return;
    field.focus();
    field.value = text;
    field.setSelectionRange(start, end);
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };
  document.addEventListener("keydown", type, true);
  putBack();
})();
