// The first page, live: the server sends it again whenever it has changed.
"use strict";
(() => {
  const live = document.getElementById("live");
  if (!live) {
    return;
  }
  const lost = document.getElementById("lost");
  let seen = new Date();
  const source = new EventSource(live.dataset.source);
  source.onmessage = (event) => {
    seen = new Date();
    lost.hidden = true;
    // A button that has the focus keeps it: people who use the keyboard are not thrown out.
    const focused = document.activeElement;
    const action = live.contains(focused) ? focused.getAttribute("formaction") : null;
    live.innerHTML = event.data;
    if (action) {
      const again = live.querySelector(`[formaction="${CSS.escape(action)}"]`);
      if (again) {
        again.focus();
      }
    }
  };
  source.onopen = () => {
    lost.hidden = true;
  };
  source.onerror = () => {
    lost.textContent = lost.dataset.text.replace("TIME", seen.toLocaleTimeString());
    lost.hidden = false;
    if (source.readyState === EventSource.CLOSED) {
      // Refused, for example after the session's end: the server says what to do.
      window.setTimeout(() => window.location.reload(), 5000);
    }
  };
})();
