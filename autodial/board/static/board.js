// Pages in the portal's frame; and the first page, live: sent again whenever it has changed.
"use strict";
(() => {
  // In the portal's frame: as high as the page. The portal names itself in the window's name.
  const [host, encrypted, session] = window.name.split("|");
  if (window !== window.parent && session) {
    const portal = `${encrypted === "1" ? "https" : "http"}://${host}`;
    let told = 0;
    new ResizeObserver(() => {
      const height = document.documentElement.offsetHeight;
      if (height && height !== told) {
        told = height;
        const size = JSON.stringify({ width: "100%", height });
        window.parent.postMessage(`resizeWindow:${size}::${session}`, portal);
      }
    }).observe(document.body);
  }
})();
(() => {
  const live = document.getElementById("live");
  if (!live) {
    return;
  }
  const AGAIN = 3000; // milliseconds until a lost connection is tried again
  const lost = document.getElementById("lost");
  let seen = new Date();

  function show(event) {
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
  }

  function listen() {
    const source = new EventSource(live.dataset.source);
    source.onmessage = show;
    source.onerror = () => {
      lost.textContent = lost.dataset.text.replace("TIME", seen.toLocaleTimeString());
      lost.hidden = false;
      if (source.readyState === EventSource.CLOSED) {
        // Refused: the store cannot be read, or the session has ended.
        window.setTimeout(retry, AGAIN);
      }
    };
  }

  async function retry() {
    try {
      const answer = await fetch(live.dataset.page, { cache: "no-store" });
      if (answer.redirected || answer.status === 403) {
        window.location.reload(); // to the login
      } else if (answer.ok) {
        listen();
        return;
      }
    } catch (error) {
      // Still away.
    }
    window.setTimeout(retry, AGAIN);
  }

  listen();
})();
