package web

// One group on the status page.

import (
	"fmt"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"
)

// section is the group, the i-th of the page. Its ids are the same in the next
// rendering, so that the script can bring up to date what is there.
func (v groupView) section(i int) g.Node {
	id := fmt.Sprintf("g%d", i)
	fact := func(name, text string) g.Node { return h.Div(h.Dt(g.Text(name)), h.Dd(g.Text(text))) }
	return h.Section(h.ID(id), h.Aria("labelledby", id+"-name"),
		h.H2(h.ID(id+"-name"), g.Text(v.Name)),
		h.Dl(h.Class("facts"), fact("Master", v.Master), fact("Grant", v.Grant), fact("Agreement in etcd", v.Agreement)),
		when(v.Read, func() g.Node { return warning(v.Read, 0) }),
		each(v.Notices, warning),
		each(v.Silent, silentView.line),
		each(v.Gone, silentView.note),
		each(v.Problems, warning),
		g.Iff(len(v.Faults) > 0, func() g.Node {
			return g.Group{h.H3(g.Text("Faults")), h.Ul(h.Class("faults"), each(v.Faults, faultView.item))}
		}),
		h.H3(h.ID(id+"-redis"), g.Text("Redis")),
		table("nodes", h.Aria("labelledby", id+"-redis"),
			[]string{"Redis", "Role", "Phase", "Guarded", "Grant for", "Fence in", "etcd heard", "Sentinels", "Lag", "Veto", "Why"},
			each(v.Nodes, nodeView.row)),
		each(v.Margins, marginView.bars),
		g.Iff(len(v.Sentinels) > 0, func() g.Node {
			return g.Group{
				h.H3(h.ID(id+"-sentinels"), g.Text("Sentinels, as heard by "+v.Voter)),
				table("votes", h.Aria("labelledby", id+"-sentinels"), []string{"Sentinel", "Names", "Epoch", "Heard", "Word"}, each(v.Sentinels, sentinelView.row)),
			}
		}),
		g.Iff(v.Audit != nil, func() g.Node { return v.Audit.part(id, v.Name) }),
		h.H3(g.Text("What happened")),
		each(v.Episodes, func(e episode, j int) g.Node { return e.details(id, v.Name, j == 0) }),
		g.If(len(v.Episodes) == 0, h.P(g.Text("No decision is recorded."))),
		g.If(v.Garbled > 0, h.P(h.Small(g.Text(fmt.Sprintf("%d records could not be understood; another version wrote them: ", v.Garbled)), code("redis-watchdog history "+v.Name)))),
	)
}

func (v silentView) line(int) g.Node {
	return bad(h.Strong(g.Text(v.Node)), g.Text(v.Text), code(v.Command))
}

func (v silentView) note(int) g.Node {
	return h.P(h.Class("notice"), h.Strong(g.Text(v.Node)), g.Text(v.Text), code(v.Command))
}

func (v faultView) item(int) g.Node {
	return h.Li(h.Class(v.Severity),
		h.P(h.B(h.Class("tag"), g.Text(v.Severity)), g.Text(" "), h.B(g.Text(v.ID)), g.Text(" on "+v.Node+", for "+v.For)),
		h.P(g.Text(v.Text)),
		when(v.Remedy, func() g.Node {
			return h.P(h.Class("remedy"), h.Span(g.Text("Do:")), g.Text(" "), code(v.Remedy))
		}))
}

func (v nodeView) row(int) g.Node {
	class := ""
	if v.IsMaster {
		class = "master"
	}
	seen := g.Node(g.Text("as it last reported"))
	if v.Here {
		seen = g.Group{g.Text(v.Name + ", this host: "),
			h.A(h.Href("/master/"+v.Check), g.Text("/master")), g.Text(" "), h.A(h.Href("/replica/"+v.Check), g.Text("/replica"))}
	}
	no := func(is bool, text string) g.Node {
		if is {
			return h.B(h.Class("no"), g.Text(text))
		}
		return g.Text(text)
	}
	guarded := "yes"
	if !v.Guarded {
		guarded = "NO"
	}
	return row(class,
		rowHeader(g.Text(v.Address), h.Small(seen)),
		cell("Role", g.Text(v.Role)),
		cell("Phase", tagged(v.Phase, v.Phase), when(v.Wanted, func() g.Node { return g.Text(" → " + v.Wanted) }), g.Text(" "), h.Small(g.Text("for "+v.For))),
		cell("Guarded", no(!v.Guarded, guarded)),
		number("Grant for", v.Grant), number("Fence in", v.Deadline), number("etcd heard", v.Coordinator),
		number("Sentinels", v.Sentinels), number("Lag", v.Lag),
		cell("Veto", no(v.Vetoed, v.Veto)),
		cell("Why", g.Text(v.Why), when(v.Would, func() g.Node { return h.Small(g.Text("would " + v.Would)) })),
	)
}

func (v sentinelView) row(int) g.Node {
	return row("", rowHeader(g.Text(v.Address)), cell("Names", g.Text(v.Names)), number("Epoch", v.Epoch), number("Heard", v.Age),
		cell("Word", h.Span(h.Class("word "+v.Class), g.Text(v.Word))))
}

func (v marginView) bars(int) g.Node {
	late := g.Node(nil)
	if v.Late {
		late = h.Class("no")
	}
	return g.Group{
		h.H3(g.Text("Margin of " + v.Node)),
		h.Dl(h.Class("margin"), each(v.Bars, func(b bar, _ int) g.Node {
			return h.Div(h.Dt(g.Text(b.Label)), h.Dd(picture("0 0 100 4", rect("rail", 0, 100, 4), rect(b.Class, 0, b.Width, 4)), h.Span(g.Text(b.Value))))
		})),
		h.P(late, g.Text(v.Text)),
	}
}

// details is the episode, folded away unless it is the newest.
func (e episode) details(section, group string, open bool) g.Node {
	return h.Details(h.ID(section+"-"+e.ID), h.Class(e.Kind), g.If(open, g.Attr("open")),
		h.Summary(h.Time(g.Text(e.When)), g.Text(" "), h.B(g.Text(e.Title)), g.Text(" "), h.Small(g.Text(e.Lasted))),
		h.Div(h.Class("lanes"), each(e.Lanes, func(l lane, _ int) g.Node {
			return h.Div(h.Span(g.Text(l.Node)), picture("0 0 600 14",
				each(l.Segments, func(s segment, _ int) g.Node { return rect(s.Access, s.X, s.Width, 14) }),
				each(e.Marks, func(m mark, _ int) g.Node { return rect("mark", m.X, 2, 14) })))
		})),
		g.Iff(len(e.Steps) > 0, func() g.Node {
			return table("steps", h.Aria("label", "Decisions, newest first"),
				[]string{"Time", "Redis", "Wanted", "Why", "Master", "Evidence"}, each(e.Steps, stepView.row))
		}),
		g.If(e.Left > 0, h.P(h.Small(g.Text(fmt.Sprintf("%d more decisions, older or for another reason only: ", e.Left)), code("redis-watchdog history "+group)))),
	)
}

func (v stepView) row(int) g.Node {
	return row("", number("Time", v.Time), cell("Redis", g.Text(v.Node)), cell("Wanted", g.Text(v.From+" → "), tagged(v.To, v.To)),
		cell("Why", g.Text(v.Why)), cell("Master", g.Text(v.Master)), cell("Evidence", g.Text(v.Evidence)))
}

// picture is drawn as wide as its place; what it shows stands in the text too.
func picture(box string, shapes ...g.Node) g.Node {
	return h.SVG(g.Attr("viewBox", box), g.Attr("preserveAspectRatio", "none"), h.Aria("hidden", "true"), g.Group(shapes))
}

func rect(class string, x, width, height float64) g.Node {
	size := func(f float64) string { return fmt.Sprintf("%.1f", f) }
	return g.El("rect", h.Class(class), g.Attr("x", size(x)), g.Attr("width", size(width)), g.Attr("height", size(height)))
}
