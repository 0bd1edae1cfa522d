/* The achievement form: shows the fields that the chosen kind of criteria reads, hides the others. */
(() => {
  "use strict";

  function setUp() {
    const data = document.getElementById("phoenix-read-by-type");
    const type = document.getElementById("id_type");
    if (!data || !type) return;
    const readByType = JSON.parse(data.textContent);
    const names = new Set(Object.values(readByType).flat());

    function rowOf(name) {
      const input = document.getElementById(`id_${name}`);
      return input?.closest(".form-row, .field-row") ?? input?.parentElement;
    }

    function show() {
      const read = readByType[type.value] ?? [];
      for (const name of names) {
        const row = rowOf(name);
        if (row) row.hidden = !read.includes(name);
      }
    }

    type.addEventListener("change", show);
    show();
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", setUp);
  else setUp();
})();
