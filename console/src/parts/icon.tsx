// Small drawings, in the colour of the text beside them. They say nothing by themselves: the words beside them do, or a label on the button.

const paths = {
  overview: 'M3 12h4l3-8 4 16 3-8h4',
  devices: 'M5 4h14v10H5zM9 20h6M12 14v6',
  fleet: 'M4 6h16M4 12h16M4 18h10',
  cancel: 'M5 5l14 14M19 5L5 19',
  send: 'M4 12l16-8-6 16-3-6z',
  copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
  check: 'M4 12l5 5L20 6',
  search: 'M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5L20 20',
  clock: 'M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 8v4l3 2',
  warning: 'M12 4l9 16H3zM12 10v4M12 17v.5',
  info: 'M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 11v5M12 8v.5',
  link: 'M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1',
  out: 'M14 4h5v16h-5M4 12h10M10 8l4 4-4 4',
  right: 'M9 5l7 7-7 7',
  down: 'M5 9l7 7 7-7',
  left: 'M15 5l-7 7 7 7',
  retry: 'M20 12a8 8 0 1 1-2.5-5.8M20 4v4h-4',
  stop: 'M6 6h12v12H6z',
  plus: 'M12 5v14M5 12h14',
  sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.5 1.5M17.5 17.5L19 19M5 19l1.5-1.5M17.5 6.5L19 5',
  moon: 'M20 14.5A8.5 8.5 0 1 1 9.5 4a7 7 0 0 0 10.5 10.5z',
  forbidden: 'M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM6.5 6.5l11 11',
  hourglass: 'M6 3h12M6 21h12M7 3c0 6 10 6 10 9s-10 3-10 9M17 3c0 6-10 6-10 9s10 3 10 9',
  stopwatch: 'M12 6a7.5 7.5 0 1 0 0 15 7.5 7.5 0 0 0 0-15zM9 2h6M12 10v4',
  gateway: 'M4 15h16v5H4zM12 15V9M8 9a4 4 0 0 1 8 0M5 9a7 7 0 0 1 14 0',
} as const
export type IconName = keyof typeof paths

export const Icon = ({ name, size = 18 }: { name: IconName; size?: number }) => (
  <svg class="icon" viewBox="0 0 24 24" width={size} height={size} aria-hidden="true" focusable="false">
    <path d={paths[name]} />
  </svg>
)

/** The mark of the product: down the link, into the tray. */
export const Mark = () => (
  <svg class="mark" viewBox="0 0 32 32" width="28" height="28" aria-hidden="true" focusable="false">
    <rect width="32" height="32" rx="8" class="mark-ground" />
    <path d="M16 6v12m0 0-5-5m5 5 5-5" class="mark-link" />
    <path d="M7 21v3a2 2 0 0 0 2 2h14a2 2 0 0 0 2-2v-3" class="mark-tray" />
  </svg>
)
