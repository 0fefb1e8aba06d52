"use strict";

/* What the theme's templates expect of Alpine's standard build, for its CSP build, which evaluates
   expressions itself: it knows no globals, one expression an attribute, and no `if`. The theme's own
   functions (theme, searchForm, searchDropdown, searchCommand, getCurrentTab) are in its app.js. */

/* The few things of `window` that the theme's expressions name: they see this and nothing else. */
function consoleWindow() {
  return {
    location: {
      get href() { return window.location.href; },
      set href(address) { window.location.assign(address); },
      get pathname() { return window.location.pathname; },
      get search() { return window.location.search; },
      get hash() { return window.location.hash; },
    },
  };
}

function consoleTheme(...given) {
  return { ...theme(...given), window: consoleWindow() };
}

/* The body: which tab is shown, and whether the sidebar is. */
function consolePage(firstTab) {
  const key = "sidebarDesktopOpen";
  return {
    activeTab: "",
    sidebarMobileOpen: false,
    sidebarDesktopOpen: localStorage.getItem(key) !== "0",
    init() {
      this.activeTab = firstTab ? getCurrentTab() || firstTab : "";
      this.$watch(key, (isOpen) => localStorage.setItem(key, isOpen ? "1" : "0"));
    },
  };
}

/* The sidebar's search. The theme's own looks for its results in elements that are not there. */
function consoleSearch() {
  return {
    ...searchDropdown(),
    links() { return document.querySelectorAll("#search-results a"); },
    maxItem() { return this.links().length; },
    open() { this.openSearchResults = true; },
    begin() {
      this.open();
      this.currentIndex = 0;
    },
    leave() {
      const input = this.$refs.searchInput;
      this.openSearchResults = false;
      if (input.value === "") {
        input.blur();
      } else {
        input.value = "";
      }
    },
    selectItem() { this.links()[Math.max(this.currentIndex, 1) - 1]?.click(); },
  };
}

/* The palette behind Ctrl+K. Enter takes the first result where none was chosen. */
function consoleCommand() {
  const palette = searchCommand();
  return {
    ...palette,
    selectItem(addHistory, openInNewTab = false) {
      if (!this.items?.length) {
        return;
      }
      this.currentIndex = Math.max(this.currentIndex, 1);
      palette.selectItem.call(this, addHistory, openInNewTab);
    },
    enter(event, addHistory) {
      this.selectItem(addHistory, event.metaKey || event.ctrlKey);
    },
  };
}

document.addEventListener("alpine:init", () => {
  Alpine.data("consoleTheme", consoleTheme);
  Alpine.data("consolePage", consolePage);
  Alpine.data("consoleSearch", consoleSearch);
  Alpine.data("consoleCommand", consoleCommand);
  Alpine.data("searchForm", searchForm);
});

/* Until Alpine has started nothing is shown, and what is not shown takes no focus. */
document.addEventListener("alpine:initialized", () => {
  setTimeout(() => {
    if (document.activeElement === document.body) {
      document.querySelector("[autofocus]")?.focus();
    }
  });
});

/* Django's selector of several hides help behind a sign that it names, but gives no role. */
window.addEventListener("load", () => {
  for (const sign of document.querySelectorAll("span.help-tooltip[aria-label]")) {
    sign.setAttribute("role", "img");
  }
});
