/**
 * Figures in Prometheus' text exposition format 0.0.4: counters and histograms that are counted up, and gauges that
 * are asked for when somebody looks. Names in snake_case with the unit last; labels are few and bounded by whoever
 * counts: a label value never comes from a request.
 */
export type Labels = Readonly<Record<string, string>>;
export type Sample = { labels?: Labels; value: number };

const escapeLabel = (value: string): string =>
	value.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
const escapeHelp = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");

function labelText(labels: Labels): string {
	const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
	return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

const numberText = (value: number): string =>
	Number.isFinite(value) ? String(value) : value > 0 ? "+Inf" : value < 0 ? "-Inf" : "NaN";

interface Metric {
	readonly name: string;
	readonly help: string;
	readonly type: "counter" | "gauge" | "histogram";
	lines(): string[];
}

export class Counter implements Metric {
	readonly type = "counter";
	readonly #values = new Map<string, number>();

	constructor(
		readonly name: string,
		readonly help: string,
	) {}

	add(labels: Labels = {}, amount = 1): void {
		const key = labelText(labels);
		this.#values.set(key, (this.#values.get(key) ?? 0) + amount);
	}

	lines(): string[] {
		return [...this.#values].map(([labels, value]) => `${this.name}${labels} ${numberText(value)}`);
	}
}

/** A counter or gauge whose samples are made when somebody looks. */
export class Observed implements Metric {
	constructor(
		readonly name: string,
		readonly help: string,
		readonly type: "counter" | "gauge",
		readonly samples: () => Sample[],
	) {}

	lines(): string[] {
		return this.samples().map(({ labels, value }) => `${this.name}${labelText(labels ?? {})} ${numberText(value)}`);
	}
}

/** `counts`: of those above the bound before and not above this one. */
export type BucketCounts = { bounds: readonly number[]; counts: readonly number[]; sum: number; count: number };

type Buckets = { labels: Labels; counts: number[]; sum: number; count: number };

export class Histogram implements Metric {
	readonly type = "histogram";
	readonly #series = new Map<string, Buckets>();

	/** `bounds`: upper bounds, ascending; +Inf comes by itself. */
	constructor(
		readonly name: string,
		readonly help: string,
		readonly bounds: readonly number[],
	) {}

	observe(labels: Labels, value: number): void {
		const key = labelText(labels);
		let series = this.#series.get(key);
		if (!series) {
			series = { labels, counts: this.bounds.map(() => 0), sum: 0, count: 0 };
			this.#series.set(key, series);
		}
		const at = this.bounds.findIndex((bound) => value <= bound);
		if (at >= 0) series.counts[at] = (series.counts[at] ?? 0) + 1;
		series.sum += value;
		series.count += 1;
	}

	lines(): string[] {
		return [...this.#series.values()].flatMap(({ labels, ...buckets }) =>
			histogramLines(this.name, labels, { bounds: this.bounds, ...buckets }),
		);
	}
}

/** A histogram that somebody else counts. */
export class ObservedHistogram implements Metric {
	readonly type = "histogram";

	constructor(
		readonly name: string,
		readonly help: string,
		readonly buckets: () => BucketCounts,
	) {}

	lines(): string[] {
		return histogramLines(this.name, {}, this.buckets());
	}
}

function histogramLines(name: string, labels: Labels, { bounds, counts, sum, count }: BucketCounts): string[] {
	let below = 0;
	const buckets = bounds.map((bound, at) => {
		below += counts[at] ?? 0;
		return `${name}_bucket${labelText({ ...labels, le: numberText(bound) })} ${below}`;
	});
	return [
		...buckets,
		`${name}_bucket${labelText({ ...labels, le: "+Inf" })} ${count}`,
		`${name}_sum${labelText(labels)} ${numberText(sum)}`,
		`${name}_count${labelText(labels)} ${count}`,
	];
}

export class MetricsRegistry {
	readonly #metrics: Metric[] = [];

	add<M extends Metric>(metric: M): M {
		this.#metrics.push(metric);
		return metric;
	}

	render(): string {
		return this.#metrics
			.flatMap((metric) => {
				const lines = metric.lines();
				if (lines.length === 0) return [];
				const { name, help, type } = metric;
				return [`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`, ...lines];
			})
			.map((line) => `${line}\n`)
			.join("");
	}
}
