/** Which of many reports of progress are worth a line of a log: another message, or ten percent more. Pure. */

const stepPercent = 10;

export function monotonicStep(): (percent: number | null, message: string | null) => boolean {
	let last: { percent: number; message: string | null } | undefined;
	return (percent, message) => {
		const step = percent === null ? -1 : Math.floor(percent / stepPercent);
		const worth = last === undefined || message !== last.message || step > last.percent;
		if (worth) last = { percent: step, message };
		return worth;
	};
}
