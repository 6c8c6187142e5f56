// Sketches: small pictures of what the form would paint. The server paints them one after another, while nothing else waits.

import { postForPicture } from "./api.js";

const DELAY_MS = 400; // until a slider or a text has come to rest
const WAIT_S = 10; // after that the server is asked again

/** Paints the sketches of several places, in their order, and again whenever what they should show has changed. */
export class Sketches {
  /** Each place has `request()`, the body of a request or null for no sketch, and `show({ url, problem, isLate })`, without `url` if it has none yet. */
  constructor(places) {
    this.places = places.map((place) => ({ ...place, key: null, shownKey: null, url: null }));
    this.current = null;
    document.addEventListener("visibilitychange", () => this.refresh());
  }

  /** Paint again what has changed, after a moment without further changes. */
  update() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refresh(), DELAY_MS);
  }

  refresh() {
    for (const place of this.places) {
      const body = document.hidden ? null : place.request();
      const key = body && JSON.stringify(body);
      if (key !== null && key !== place.key && key !== place.shownKey) this.show(place, null, {});
      place.key = key;
    }
    const next = this.next();
    if (this.current && (this.current.place !== next || this.current.key !== next.key)) this.current.controller.abort();
    else if (!this.current) this.paintAll();
  }

  next() {
    return this.places.find(({ key, shownKey }) => key !== null && key !== shownKey);
  }

  async paintAll() {
    for (let place = this.next(); place; place = this.next()) {
      const { key } = place;
      const controller = new AbortController();
      this.current = { place, key, controller };
      try {
        const picture = await postForPicture(`/api/sketches?wait=${WAIT_S}`, JSON.parse(key), controller.signal);
        if (place.key !== key) continue;
        if (picture) this.show(place, key, { url: URL.createObjectURL(picture) });
        else place.show({ isLate: true });
      } catch (error) {
        if (!controller.signal.aborted) this.show(place, key, { problem: error.message });
      }
    }
    this.current = null;
  }

  show(place, key, shown) {
    if (place.url && key !== null) URL.revokeObjectURL(place.url);
    if (key !== null) place.url = shown.url ?? null;
    place.shownKey = key;
    place.show(shown);
  }
}
