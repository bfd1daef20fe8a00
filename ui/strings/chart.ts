/** Charts of figures over time. */
export const chart = {
	legend: "Values",
	zoomHint: "Drag over a chart to look closer.",
	showAll: "Show all",
	lastHour: "The last hour",
	last: (span: string) => `The last ${span}`,
} as const;
