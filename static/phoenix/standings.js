/* Standings of a window that is still scored: the rows are fetched anew while the page is visible. */
(() => {
  "use strict";

  const REFRESH_MS = 2000;

  function scoresIn(target) {
    return new Map([...target.querySelectorAll("[data-player]")].map((row) => [row.dataset.player, row.cells[2].textContent]));
  }

  document.addEventListener("DOMContentLoaded", () => {
    const target = document.querySelector("[data-phoenix-standings][data-live]");
    if (!target) return;
    const url = new URL(location.href);
    url.searchParams.set("part", "rows");
    const refresh = async () => {
      if (document.hidden) return;
      try {
        const answer = await fetch(url, { headers: { "X-Requested-With": "fetch" } });
        if (!answer.ok || answer.redirected) return;
        const before = scoresIn(target);
        target.innerHTML = await answer.text();
        for (const row of target.querySelectorAll("[data-player]")) {
          const known = before.get(row.dataset.player);
          row.classList.toggle("is-changed", known !== row.cells[2].textContent && before.size > 0);
        }
      } catch { /* the rows stay as they were; the next try may reach the server */ }
    };
    setInterval(refresh, REFRESH_MS);
  });
})();
