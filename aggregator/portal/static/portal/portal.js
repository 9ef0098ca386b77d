// Live parts: htmx polls them. Nothing is asked for while the tab is hidden or the reader has paused.
(() => {
  "use strict";
  let paused = false;

  document.addEventListener("htmx:beforeRequest", (event) => {
    const live = event.detail.elt.hasAttribute("data-live");
    if (live && (paused || document.hidden)) event.preventDefault();
  });

  // a form's error page is content too
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.xhr.status === 422) event.detail.shouldSwap = true;
  });

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("[data-step][hidden], [data-pause][hidden]").forEach((button) => { button.hidden = false; });
  });

  document.addEventListener("click", (event) => {
    const step = event.target.closest("[data-step]");
    if (step) {
      const input = document.getElementById(step.dataset.for);
      if (step.dataset.step === "up") input.stepUp(); else input.stepDown();
      input.dispatchEvent(new Event("change", { bubbles: true }));
      return;
    }
    const button = event.target.closest("[data-pause]");
    if (!button) return;
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
    document.querySelectorAll(".live").forEach((mark) => mark.classList.toggle("paused", paused));
  });
})();
