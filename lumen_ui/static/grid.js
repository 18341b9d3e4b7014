// How cells of our grids are drawn. Text from the database reaches the page as `textContent` only.
(() => {
  "use strict";

  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };

  window.lumenGrid = {
    text: ({ value }) => element("span", value, { title: value }),

    link: ({ value, data }) =>
      element("a", value, { href: `/clients/${Number(data.id)}`, class: "name-link", title: value, tabindex: "-1" }),

    state: ({ value }) => {
      const word = value ? "Active" : "Deactivated";
      const mark = element("span", undefined, { class: value ? "state-good" : "state-bad", title: word });
      mark.append(element("span", value ? "✓" : "✗", { "aria-hidden": "true" }));
      mark.append(element("span", word, { class: "visually-hidden" }));
      return mark;
    },

    count: ({ value }) => element("span", Number(value).toLocaleString("en-US")),

    coins: ({ value, data }) => element("span", value, { title: `${data.spent_exact} coins` }),

    date: ({ value }) => element("lumen-time", undefined, { ms: String(Number(value)), show: "date" }),

    // Enter on a focused cell follows the link in it.
    open: ({ event }) => {
      if (event.key !== "Enter") return;
      event.target.closest(".ag-cell")?.querySelector("a")?.click();
    },

    // Tab leaves the grid from its end, as each row would be a stop too, and backwards from its header.
    leave: ({ backwards, previousCellPosition }) => {
      if (backwards) return { ...previousCellPosition, rowIndex: -1 };
      const end = element("span", undefined, { tabindex: "-1" });
      document.activeElement.closest(".grid").append(end);
      end.addEventListener("blur", () => end.remove());
      end.focus({ preventScroll: true });
      return false;
    },

    label: ({ api }, label) => {
      const grid = document.querySelector(`[grid-id="${api.getGridId()}"]`) ?? document.querySelector(".grid");
      grid?.querySelector('[role="grid"], [role="treegrid"]')?.setAttribute("aria-label", label);
    },
  };

  // The back button: the page keeps its state in its address and is told when that changes.
  window.addEventListener("popstate", () => {
    if (location.pathname === "/clients" && window.emitEvent) window.emitEvent("lumen-address", location.search);
  });
})();
