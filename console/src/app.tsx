// The pages and their paths, and what stands around each: where one can go, whether the page is live, who is signed in. Not here: what is on a page.

import { Component, type ComponentChildren } from 'preact'
import { useEffect } from 'preact/hooks'
import { Link, Redirect, Route, Router, Switch, useLocation } from 'wouter-preact'
import { later } from './later.tsx'
import { connection } from './live.ts'
import { GoTo } from './parts/go-to.tsx'
import { Icon, type IconName, Mark } from './parts/icon.tsx'
import { Empty, Loading } from './parts/notice.tsx'
import { Problem } from './parts/problem.tsx'
import { entry, type Session } from './session.ts'
import { shell } from './shell-words.ts'
import { SignedIn } from './signed-in.tsx'
import { SignIn } from './signin/page.tsx'
import { TopBar } from './top-bar.tsx'
import { language, locale } from './words.ts'

const Overview = later(() => import('./overview/page.tsx').then(page => page.Overview))
const Devices = later(() => import('./devices/page.tsx').then(page => page.Devices))
const DevicePage = later(() => import('./device/page.tsx').then(page => page.DevicePage))
const CommandPage = later(() => import('./command/page.tsx').then(page => page.CommandPage))
const FleetCommands = later(() => import('./fleet/page.tsx').then(page => page.FleetCommands))
const JobPage = later(() => import('./fleet/job.tsx').then(page => page.JobPage))
const NewCancellation = later(() => import('./fleet/new-cancellation.tsx').then(page => page.NewCancellation))
const CancellationPage = later(() => import('./fleet/cancellation.tsx').then(page => page.CancellationPage))

export const App = () => {
  useEffect(() => {
    document.documentElement.lang = language.value === 'zh' ? 'zh-CN' : locale.value
  }, [language.value])
  const { value } = entry
  if (value.state === 'asking') return <Loading />
  if (value.state === 'unreachable') return <Unreachable error={value.error} />
  if (value.state === 'out') return <SignIn ended={value.ended} />
  return (
    <SignedIn session={value.session}>
      <Router base="/console">
        <Shell session={value.session} />
      </Router>
    </SignedIn>
  )
}

const Unreachable = ({ error }: { error: unknown }) => (
  <main class="alone">
    <Problem error={error} />
    <Loading />
  </main>
)

const places: readonly {
  readonly href: string
  readonly icon: IconName
  readonly word: 'overview' | 'devices' | 'fleet'
}[] = [
  { href: '/', icon: 'overview', word: 'overview' },
  { href: '/devices', icon: 'devices', word: 'devices' },
  { href: '/fleet', icon: 'fleet', word: 'fleet' },
]

const Shell = ({ session }: { session: Session }) => {
  const words = shell()
  const [path] = useLocation()
  return (
    <div class="shell">
      <a class="skip" href="#content">
        {words.skip}
      </a>
      <nav class="side" aria-label={words.navigation}>
        <Link href="/" class="brand" aria-label="Downlink">
          <Mark />
          <span>Downlink</span>
        </Link>
        <ul>
          {places.map(({ href, icon, word }) => (
            <li key={href}>
              <Link href={href} aria-current={isWithin(path, href) ? 'page' : undefined}>
                <Icon name={icon} />
                <span>{words[word]}</span>
              </Link>
            </li>
          ))}
        </ul>
        <GoTo />
      </nav>
      <TopBar session={session} />
      <main id="content" data-connection={connection.value}>
        {session.isOpen && (
          <div class="notice open-mode" role="note">
            <Icon name="warning" />
            <div>{words.open}</div>
          </div>
        )}
        {/* Another organization is another set of pages: nothing of the first stays. */}
        <Pages key={session.orgId} path={path} />
      </main>
    </div>
  )
}

/** The devices' place has the commands as well: a command is reached by its device. */
const isWithin = (path: string, href: string): boolean =>
  href === '/' ? path === '/' : path.startsWith(href) || (href === '/devices' && path.startsWith('/commands/'))

const Pages = ({ path }: { path: string }) => (
  // Of each path a page of its own, so that one that failed does not take the next with it.
  <Guard key={path}>
    <Switch>
      <Route path="/">{() => <Overview />}</Route>
      <Route path="/devices">{() => <Devices />}</Route>
      <Route path="/devices/:assetId">{({ assetId }) => <DevicePage assetId={assetId} />}</Route>
      <Route path="/commands/:commandId">{({ commandId }) => <CommandPage commandId={commandId} />}</Route>
      <Route path="/fleet">{() => <FleetCommands />}</Route>
      <Route path="/fleet/jobs/:jobId">{({ jobId }) => <JobPage jobId={jobId} />}</Route>
      <Route path="/fleet/cancellations/new">{() => <NewCancellation />}</Route>
      <Route path="/fleet/cancellations/:id">{({ id }) => <CancellationPage cancellationId={id} />}</Route>
      <Route path="/index.html">{() => <Redirect to="/" replace />}</Route>
      <Route>{() => <NoSuchPage />}</Route>
    </Switch>
  </Guard>
)

const NoSuchPage = () => (
  <Empty
    icon="search"
    title={shell().noSuchPage}
    hint={
      <Link href="/" class="button">
        {shell().overview}
      </Link>
    }
  />
)

/** A page that throws while it is drawn is told of, and the rest of the console stays. */
class Guard extends Component<{ children: ComponentChildren }, { readonly error: unknown }> {
  override state = { error: null as unknown }

  static override getDerivedStateFromError(error: unknown) {
    return { error }
  }

  override render() {
    if (this.state.error === null) return this.props.children
    return <Problem error={this.state.error} onAgain={() => this.setState({ error: null })} />
  }
}
