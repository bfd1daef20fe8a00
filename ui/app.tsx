/** Which page for which address and which state of the session. */

import { Compass } from "lucide-preact";
import { LocationProvider, Route, Router, useLocation } from "preact-iso";
import { refreshMe, session } from "./api/session.ts";
import { Button } from "./components/button.tsx";
import { EmptyState, ErrorState, PageSkeleton } from "./components/feedback.tsx";
import { ToastHost } from "./components/toast.tsx";
import { TooltipHost } from "./components/tooltip.tsx";
import { Frame } from "./frame/frame.tsx";
import { ErrorGuard } from "./lib/error-guard.tsx";
import { lazyPage } from "./lib/lazy-page.tsx";
import { MustChangePasswordPage } from "./pages/auth/must-change.tsx";
import { SignInPage } from "./pages/auth/sign-in.tsx";
import OverviewPage from "./pages/overview/overview.tsx";
import VmsPage from "./pages/vms/vms.tsx";
import { href, routes } from "./routes.ts";
import { auth } from "./strings/auth.ts";
import { common } from "./strings/common.ts";

const WelcomePage = lazyPage(() => import("./pages/overview/welcome.tsx"));
const VmCreatePage = lazyPage(() => import("./pages/vm-create/vm-create.tsx"));
const VmPage = lazyPage(() => import("./pages/vm/vm.tsx"));
const StoragePage = lazyPage(() => import("./pages/storage/pools.tsx"));
const PoolCreatePage = lazyPage(() => import("./pages/storage/create-pool.tsx"));
const VolumesPage = lazyPage(() => import("./pages/storage/volumes.tsx"));
const PoolPage = lazyPage(() => import("./pages/storage/pool.tsx"));
const VolumePage = lazyPage(() => import("./pages/storage/volume.tsx"));
const NetworksPage = lazyPage(() => import("./pages/networks/networks.tsx"));
const NetworkPage = lazyPage(() => import("./pages/networks/network.tsx"));
const ImagesPage = lazyPage(() => import("./pages/images/images.tsx"));
const ImagePage = lazyPage(() => import("./pages/images/image.tsx"));
const ClusterPage = lazyPage(() => import("./pages/cluster/cluster.tsx"));
const NodePage = lazyPage(() => import("./pages/cluster/node.tsx"));
const TasksPage = lazyPage(() => import("./pages/tasks/tasks.tsx"));
const AdministrationPage = lazyPage(() => import("./pages/administration/administration.tsx"));
const UserPage = lazyPage(() => import("./pages/administration/user.tsx"));
const TokenPage = lazyPage(() => import("./pages/administration/token.tsx"));
const AccountPage = lazyPage(() => import("./pages/account/account.tsx"));
const ComponentsPage =
	process.env.NODE_ENV === "production" ? NotFoundPage : lazyPage(() => import("./pages/dev/components.tsx"));

export function App() {
	return (
		<LocationProvider>
			<Session />
			<ToastHost />
			<TooltipHost />
		</LocationProvider>
	);
}

function Session() {
	const state = session.value;
	switch (state.status) {
		case "unknown":
			return <PageSkeleton />;
		case "unreachable":
			return <ErrorState error={state.error} title={auth.unreachable} onRetry={() => void refreshMe()} />;
		case "signed-out":
			return <SignInPage />;
		default:
			return state.me.user?.mustChangePassword ? (
				<MustChangePasswordPage />
			) : (
				// Another user gets pages of their own: what was typed into an open form is not theirs.
				<Console key={state.me.requester.id} />
			);
	}
}

function Console() {
	const { path } = useLocation();
	return (
		<Frame>
			<ErrorGuard resetKey={path}>
				<Router>
					<Route path={routes.overview} component={OverviewPage} />
					<Route path={routes.welcome} component={WelcomePage} />
					<Route path={routes.vms} component={VmsPage} />
					<Route path={routes.vmCreate} component={VmCreatePage} />
					<Route path={routes.vm} component={VmPage} />
					<Route path={routes.storage} component={StoragePage} />
					<Route path={routes.poolCreate} component={PoolCreatePage} />
					<Route path={routes.volumes} component={VolumesPage} />
					<Route path={routes.volume} component={VolumePage} />
					<Route path={routes.pool} component={PoolPage} />
					<Route path={routes.networks} component={NetworksPage} />
					<Route path={routes.network} component={NetworkPage} />
					<Route path={routes.images} component={ImagesPage} />
					<Route path={routes.image} component={ImagePage} />
					<Route path={routes.cluster} component={ClusterPage} />
					<Route path={routes.node} component={NodePage} />
					<Route path={routes.tasks} component={TasksPage} />
					<Route path={routes.administration} component={AdministrationPage} />
					<Route path={routes.user} component={UserPage} />
					<Route path={routes.token} component={TokenPage} />
					<Route path={routes.account} component={AccountPage} />
					<Route path={routes.components} component={ComponentsPage} />
					<Route default component={NotFoundPage} />
				</Router>
			</ErrorGuard>
		</Frame>
	);
}

function NotFoundPage() {
	return (
		<EmptyState icon={Compass} title={common.notFoundTitle} text={common.notFoundText}>
			<Button kind="primary" href={href("overview")}>
				{common.toOverview}
			</Button>
		</EmptyState>
	);
}
