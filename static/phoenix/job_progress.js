/* A job that runs: asks how far it is, and shows the page again when it is over. */
(() => {
  "use strict";

  const REFRESH_MS = 700;

  async function follow(card) {
    try {
      const answer = await fetch(card.dataset.phoenixJob, { headers: { "X-Requested-With": "fetch" } });
      if (answer.ok && !answer.redirected) {
        const state = await answer.json();
        if (state.is_over) { location.reload(); return; }
        card.querySelector('[data-part="status"]').textContent = state.status;
        card.querySelector('[data-part="progress"]').value = state.progress;
      }
    } catch { /* asked again below */ }
    setTimeout(() => follow(card), REFRESH_MS);
  }

  document.addEventListener("DOMContentLoaded", () => {
    const card = document.querySelector("[data-phoenix-job]");
    if (card) setTimeout(() => follow(card), REFRESH_MS);
  });
})();
