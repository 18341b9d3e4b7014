// What the frame does by itself in the browser: light or dark, dismissing the announcement, times in the viewer's zone.
(() => {
  "use strict";

  const YEAR = 365 * 24 * 3600;
  const remember = (name, value) => {
    const secure = location.protocol === "https:" ? "; secure" : "";
    document.cookie = `${name}=${value}; path=/; max-age=${YEAR}; samesite=lax${secure}`;
  };

  const chooseTheme = (choice) => {
    remember("lumen_theme", choice);
    setDark({ light: false, dark: true, auto: null }[choice]);
    document.documentElement.style.colorScheme = { light: "light", dark: "dark", auto: "light dark" }[choice];
    for (const button of document.querySelectorAll("[data-theme-choice]"))
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === choice));
  };

  document.addEventListener("click", (event) => {
    const theme = event.target.closest("[data-theme-choice]");
    if (theme) chooseTheme(theme.dataset.themeChoice);
    const dismiss = event.target.closest("[data-dismiss]");
    if (dismiss) {
      remember("lumen_announcement", dismiss.dataset.dismiss);
      dismiss.closest("[data-banner]").hidden = true;
    }
  });

  const language = navigator.language?.startsWith("en") ? navigator.language : "en";
  const date = new Intl.DateTimeFormat(language, { dateStyle: "medium" });
  const time = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
  const exact = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "long" });
  const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const DAY = 86400;
  const STEPS = [["hour", 3600], ["minute", 60]];

  // From one midnight to the other, as the viewer's calendar has them: rounded, for days of 23 and 25 hours.
  const daysUntil = (moment) => {
    const midnight = (instant) => new Date(instant).setHours(0, 0, 0, 0);
    return Math.round((midnight(moment) - midnight(Date.now())) / (DAY * 1000));
  };

  const written = (moment, show) => {
    if (show === "exact") return exact.format(moment);
    if (show === "time") return time.format(moment);
    const seconds = (moment - Date.now()) / 1000;
    if (show === "date" || Math.abs(seconds) >= 7 * DAY) return date.format(moment);
    if (Math.abs(seconds) >= DAY && daysUntil(moment)) return relative.format(daysUntil(moment), "day");
    for (const [unit, size] of STEPS)
      if (Math.abs(seconds) >= size) return relative.format(Math.trunc(seconds / size), unit);
    return seconds > 0 ? "in a moment" : "just now";
  };

  class LumenTime extends HTMLElement {
    static observedAttributes = ["ms", "show"];
    connectedCallback() {
      this.write();
    }
    attributeChangedCallback() {
      this.write();
    }
    write() {
      const moment = new Date(Number(this.getAttribute("ms")));
      if (Number.isNaN(moment.getTime())) return;
      const text = written(moment, this.getAttribute("show") ?? "relative");
      if (this.textContent !== text) this.textContent = text;
      this.title = exact.format(moment);
    }
  }
  customElements.define("lumen-time", LumenTime);

  // What is pressed while the connection is gone never arrives when the server has given the page up and loads it anew.
  // Then somebody has to say so. A page that comes back in time sends it, and one that was never there needs no server.
  const PRESSED = "lumen_pressed_while_away";
  const isAway = () => !window.socket?.connected || !window.did_handshake;
  window.lumenIsAway = isAway;
  // What was typed into a dialog is gone then, too. It is kept to be told, and never what is secret or only shown.
  const TYPED = "lumen_typed_while_away";
  const forget = () => [PRESSED, TYPED].forEach((name) => sessionStorage.removeItem(name));
  // Only a page that was loaded anew lost anything. It may be loaded so several times, until it stays.
  if (performance.getEntriesByType("navigation")[0]?.type !== "reload") forget();
  const wasPressed = sessionStorage.getItem(PRESSED);
  const wasTyped = sessionStorage.getItem(TYPED);
  const STAYS_MS = 2000;
  let wasThere = false;
  let thereSince = 0;
  const keepTyped = () => {
    const fields = document.querySelectorAll(
      '[role="dialog"] input:is([type="text"], [type="date"], [type="search"]):not([readonly]), [role="dialog"] textarea:not([readonly])',
    );
    const typed = [...fields].filter(({ value }) => value).map(({ ariaLabel, value }) => `${ariaLabel}: ${value}`);
    if (typed.length) sessionStorage.setItem(TYPED, typed.join("; "));
  };
  // A page that is being loaded anew looks as if it were connected until the new one comes.
  let isLeaving = false;
  addEventListener("beforeunload", () => (isLeaving = true));
  setInterval(() => {
    if (isLeaving) return;
    if (isAway()) {
      thereSince = 0;
      if (wasThere) keepTyped();
      return;
    }
    wasThere = true;
    thereSince ||= Date.now();
    if (Date.now() - thereSince > STAYS_MS) forget();
  }, 200);
  const CLICKED = "button, form, [role=option], [role=switch], [role=columnheader]";
  const DONE_HERE = "[data-theme-choice], [data-dismiss], .copy-button";  // by the browser alone
  // Of what makes no click of the key that presses it.
  const PRESSED_BY_KEY = { Enter: "[role=switch], [role=columnheader]", " ": "[role=switch]" };
  const noticePress = (event) => {
    const pressed = event.type === "keydown" ? PRESSED_BY_KEY[event.key] : CLICKED;
    if (!pressed || !wasThere || !isAway() || event.target.closest(DONE_HERE)) return;
    if (event.target.closest(pressed)) sessionStorage.setItem(PRESSED, "1");
  };
  for (const kind of ["click", "submit", "keydown"]) document.addEventListener(kind, noticePress, true);
  addEventListener("load", () => {
    if (!wasPressed && !wasTyped) return;
    const said = document.createElement("p");
    said.className = "notice notice-warning";
    said.setAttribute("role", "alert");
    said.textContent = wasPressed
      ? "The connection was lost, and what you pressed then was not done. Look what is true now, and try again."
      : "The connection was lost, and the page was loaded anew.";
    if (wasTyped) said.textContent += ` What you had typed was not saved: ${wasTyped}`;
    const put = () => {
      const place = document.querySelector(".frame-main");
      if (place) place.prepend(said);
      else setTimeout(put, 50);
    };
    put();
  });

  // What scrolls sideways must be reachable by keyboard.
  const letScroll = () => {
    for (const element of document.querySelectorAll(".help-text pre, .help-text table"))
      element.tabIndex = element.scrollWidth > element.clientWidth ? 0 : -1;
  };
  addEventListener("resize", letScroll);
  addEventListener("load", letScroll);
  setInterval(() => document.querySelectorAll("lumen-time").forEach((element) => element.write()), 20_000);
})();
