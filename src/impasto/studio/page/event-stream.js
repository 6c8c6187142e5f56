// The server's events: changes of jobs, and losses and previews of one job. Previews load one at a time.

const RETRY_MS = 2000;

export class EventStream {
  /** `handlers` has `onJobs(changed, remaining, revision)`, `onLosses(rows, isFirst)`, `onPreview(url)` and `onConnection(connected)`. */
  constructor(handlers) {
    this.handlers = handlers;
    this.job = null;
    this.source = null;
    document.addEventListener("visibilitychange", () => (document.hidden ? this.close() : this.open()));
  }

  /** Follow one job in detail, or none. */
  follow(job) {
    if (job === this.job && this.source !== null) return;
    this.job = job;
    this.open();
  }

  close() {
    clearTimeout(this.retry);
    this.source?.close();
    this.source = null;
  }

  open() {
    this.close();
    if (document.hidden) return;
    const source = new EventSource(this.job === null ? "/api/events" : `/api/events?job=${this.job}`);
    this.source = source;
    const isFirst = { jobs: true, losses: true };
    const listen = (kind, handle) =>
      source.addEventListener(kind, (event) => {
        this.handlers.onConnection(true);
        handle(JSON.parse(event.data), isFirst[kind], event.lastEventId);
        isFirst[kind] = false;
      });
    listen("jobs", ({ jobs, remaining }, first, id) => {
      // The first event of a connection has all jobs.
      this.handlers.onJobs(jobs, first ? jobs.map((job) => job.id) : remaining, Number.parseInt(id));
    });
    listen("losses", ({ rows }, first) => this.handlers.onLosses(rows, first));
    listen("preview", ({ job, version }) => this.loadPreview(job, version));
    source.addEventListener("open", () => this.handlers.onConnection(true));
    source.addEventListener("error", () => {
      this.handlers.onConnection(false);
      if (source.readyState === EventSource.CLOSED) this.retry = setTimeout(() => this.open(), RETRY_MS);
    });
  }

  /** Load the latest preview. Those that arrive while one is loading are skipped, except the last. */
  async loadPreview(job, version) {
    this.pending = { job, version };
    if (this.loading) return;
    this.loading = true;
    while (this.pending) {
      const latest = this.pending;
      this.pending = null;
      const image = new Image();
      image.src = `/api/jobs/${latest.job}/preview?version=${latest.version}`;
      const loaded = await image.decode().then(() => true, () => false);
      if (loaded && latest.job === this.job) this.handlers.onPreview(image.src);
    }
    this.loading = false;
  }
}
