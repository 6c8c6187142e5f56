// What happens in the queue, from the server's stream of events; looks are shown as fast as they load, and no faster.

const RETRY_MS = 2000;

export class Live {
  /** `told` has `jobs(changed, left, revision)`, `losses(rows, anew)`, `preview(url)` and `here(boolean)`. */
  constructor(told) {
    this.told = told;
    this.job = null;
    this.source = null;
    document.addEventListener("visibilitychange", () => (document.hidden ? this.close() : this.open()));
  }

  /** Watch this job more closely. */
  watch(job) {
    if (job === this.job && this.source !== null) return;
    this.job = job;
    this.open();
  }

  close() {
    clearTimeout(this.waiting);
    this.source?.close();
    this.source = null;
  }

  open() {
    this.close();
    if (document.hidden) return;
    const source = new EventSource(this.job === null ? "/api/events" : `/api/events?job=${this.job}`);
    this.source = source;
    const first = { jobs: true, losses: true };
    const heard = (kind, use) =>
      source.addEventListener(kind, (event) => {
        this.told.here(true);
        use(JSON.parse(event.data), first[kind], event.lastEventId);
        first[kind] = false;
      });
    heard("jobs", ({ jobs, remaining }, all, id) => this.told.jobs(jobs, all ? jobs.map((job) => job.id) : remaining, Number.parseInt(id)));
    heard("losses", ({ rows }, anew) => this.told.losses(rows, anew));
    heard("preview", ({ job, version }) => this.look(job, version));
    source.addEventListener("open", () => this.told.here(true));
    source.addEventListener("error", () => {
      this.told.here(false);
      if (source.readyState === EventSource.CLOSED) this.waiting = setTimeout(() => this.open(), RETRY_MS);
    });
  }

  /** Load the newest look, and only once the one before was shown. */
  async look(job, version) {
    this.newest = { job, version };
    if (this.loading) return;
    this.loading = true;
    while (this.newest) {
      const { job: number, version: wanted } = this.newest;
      this.newest = null;
      const image = new Image();
      image.src = `/api/jobs/${number}/preview?version=${wanted}`;
      const loaded = await image.decode().then(() => true, () => false);
      if (loaded && number === this.job) this.told.preview(image.src);
    }
    this.loading = false;
  }
}
