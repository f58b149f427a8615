OPENQASM 3.0;
include "stdgates.inc";
gate mcx _gate_q_0, _gate_q_1, _gate_q_2, _gate_q_3 {
  h _gate_q_3;
  p(pi/8) _gate_q_0;
  p(pi/8) _gate_q_1;
  p(pi/8) _gate_q_2;
  p(pi/8) _gate_q_3;
  cx _gate_q_0, _gate_q_1;
  p(-pi/8) _gate_q_1;
  cx _gate_q_0, _gate_q_1;
  cx _gate_q_1, _gate_q_2;
  p(-pi/8) _gate_q_2;
  cx _gate_q_0, _gate_q_2;
  p(pi/8) _gate_q_2;
  cx _gate_q_1, _gate_q_2;
  p(-pi/8) _gate_q_2;
  cx _gate_q_0, _gate_q_2;
  cx _gate_q_2, _gate_q_3;
  p(-pi/8) _gate_q_3;
  cx _gate_q_1, _gate_q_3;
  p(pi/8) _gate_q_3;
  cx _gate_q_2, _gate_q_3;
  p(-pi/8) _gate_q_3;
  cx _gate_q_0, _gate_q_3;
  p(pi/8) _gate_q_3;
  cx _gate_q_2, _gate_q_3;
  p(-pi/8) _gate_q_3;
  cx _gate_q_1, _gate_q_3;
  p(pi/8) _gate_q_3;
  cx _gate_q_2, _gate_q_3;
  p(-pi/8) _gate_q_3;
  cx _gate_q_0, _gate_q_3;
  h _gate_q_3;
}
gate rxx(p0) _gate_q_0, _gate_q_1 {
  h _gate_q_0;
  h _gate_q_1;
  cx _gate_q_0, _gate_q_1;
  rz(p0) _gate_q_1;
  cx _gate_q_0, _gate_q_1;
  h _gate_q_1;
  h _gate_q_0;
}
gate rzx(p0) _gate_q_0, _gate_q_1 {
  h _gate_q_1;
  cx _gate_q_0, _gate_q_1;
  rz(p0) _gate_q_1;
  cx _gate_q_0, _gate_q_1;
  h _gate_q_1;
}
gate rccx _gate_q_0, _gate_q_1, _gate_q_2 {
  h _gate_q_2;
  t _gate_q_2;
  cx _gate_q_1, _gate_q_2;
  tdg _gate_q_2;
  cx _gate_q_0, _gate_q_2;
  t _gate_q_2;
  cx _gate_q_1, _gate_q_2;
  tdg _gate_q_2;
  h _gate_q_2;
}
gate cs _gate_q_0, _gate_q_1 {
  t _gate_q_0;
  cx _gate_q_0, _gate_q_1;
  tdg _gate_q_1;
  cx _gate_q_0, _gate_q_1;
  t _gate_q_1;
}
gate csx _gate_q_0, _gate_q_1 {
  h _gate_q_1;
  cs _gate_q_0, _gate_q_1;
  h _gate_q_1;
}
gate dcx _gate_q_0, _gate_q_1 {
  cx _gate_q_0, _gate_q_1;
  cx _gate_q_1, _gate_q_0;
}
gate sxdg _gate_q_0 {
  s _gate_q_0;
  h _gate_q_0;
  s _gate_q_0;
}
gate ryy(p0) _gate_q_0, _gate_q_1 {
  sxdg _gate_q_0;
  sxdg _gate_q_1;
  cx _gate_q_0, _gate_q_1;
  rz(p0) _gate_q_1;
  cx _gate_q_0, _gate_q_1;
  sx _gate_q_0;
  sx _gate_q_1;
}
gate ecr _gate_q_0, _gate_q_1 {
  s _gate_q_0;
  sx _gate_q_1;
  cx _gate_q_0, _gate_q_1;
  x _gate_q_0;
}
gate rzz(p0) _gate_q_0, _gate_q_1 {
  cx _gate_q_0, _gate_q_1;
  rz(p0) _gate_q_1;
  cx _gate_q_0, _gate_q_1;
}
gate iswap _gate_q_0, _gate_q_1 {
  s _gate_q_0;
  s _gate_q_1;
  h _gate_q_0;
  cx _gate_q_0, _gate_q_1;
  cx _gate_q_1, _gate_q_0;
  h _gate_q_1;
}
gate ccry(_gate_p_0) _gate_q_0, _gate_q_1, _gate_q_2 {
  cu(0.15, 0, 0, 0) _gate_q_1, _gate_q_2;
  cx _gate_q_1, _gate_q_0;
  cu(-0.15, 0, 0, 0) _gate_q_0, _gate_q_2;
  cx _gate_q_1, _gate_q_0;
  cu(0.15, 0, 0, 0) _gate_q_0, _gate_q_2;
}
gate ccry_o1(_gate_p_0) _gate_q_0, _gate_q_1, _gate_q_2 {
  x _gate_q_1;
  ccry(0.3) _gate_q_0, _gate_q_1, _gate_q_2;
  x _gate_q_1;
}
gate ccx_o0 _gate_q_0, _gate_q_1, _gate_q_2 {
  x _gate_q_0;
  x _gate_q_1;
  ccx _gate_q_0, _gate_q_1, _gate_q_2;
  x _gate_q_0;
  x _gate_q_1;
}
qubit[5] q;
h q[0];
h q[1];
h q[2];
h q[3];
h q[4];
tdg q[4];
cx q[3], q[2];
cz q[4], q[1];
mcx q[1], q[0], q[4], q[2];
U(4.057184043615356, 4.523324060962534, 5.250036224246081) q[4];
ccx q[4], q[1], q[2];
cy q[2], q[3];
cp(2.656008658815972) q[3], q[4];
u1(4.231473267934168) q[0];
t q[0];
rxx(4.828734715782696) q[1], q[3];
rzx(5.186692900370194) q[3], q[4];
u1(1.9901245943337187) q[3];
rxx(2.48975089632114) q[4], q[2];
crx(2.6464073691117638) q[0], q[3];
cx q[3], q[1];
crx(2.7094775719810213) q[3], q[0];
rz(5.091103903938757) q[3];
rccx q[2], q[3], q[4];
cy q[2], q[3];
u2(0.4598667874783277, 1.6198247694253658) q[2];
h q[4];
sx q[4];
h q[4];
ccx q[1], q[4], q[0];
sdg q[0];
cu(1.78320876141599, 1.9737614773354712, 1.966937706981462, 3.6235111838151846) q[4], q[2];
csx q[0], q[1];
dcx q[1], q[4];
crz(3.143832173958728) q[2], q[1];
U(1.3372565828347958, 0.8337554270631042, 3.1796996857155317) q[1];
sxdg q[0];
ryy(2.5235548207674237) q[3], q[4];
cu(4.609284806505391, 1.1801376628121387, 2.4660985602310794, 1.45706990909004) q[0], q[2];
ecr q[0], q[1];
ecr q[1], q[0];
swap q[3], q[0];
sxdg q[0];
ryy(4.764576250490543) q[1], q[0];
cry(2.39377760999299) q[3], q[0];
crz(3.1012015734780554) q[3], q[4];
rzx(2.7821246482732915) q[3], q[2];
x q[0];
cp(6.277064745309887) q[4], q[2];
cz q[0], q[2];
tdg q[3];
p(0.1664073285407182) q[1];
dcx q[4], q[1];
ch q[1], q[3];
s q[1];
s q[4];
cry(3.7813682444727768) q[3], q[0];
u3(1.5787607553351393, 0.4725653526889069, 6.049856572078155) q[3];
rzz(3.3252049691274075) q[0], q[1];
y q[2];
ry(0.996230659924673) q[1];
rz(0.9047967485126182) q[1];
iswap q[4], q[3];
swap q[4], q[2];
sdg q[1];
x q[1];
rx(0.142111381824587) q[3];
ch q[4], q[3];
sx q[2];
iswap q[0], q[4];
mcx q[3], q[4], q[2], q[0];
rccx q[4], q[2], q[1];
p(2.4231597031508705) q[1];
rx(1.3600179535364767) q[3];
z q[4];
z q[0];
ry(4.733534526121307) q[2];
u2(2.131224366586742, 5.4942761088958125) q[0];
rzz(5.823288830077072) q[0], q[2];
cswap q[1], q[2], q[3];
cswap q[2], q[1], q[3];
y q[1];
t q[0];
u3(6.05988932183829, 4.057186996616228, 5.949590054181778) q[1];
csx q[4], q[0];
ccry_o1(0.3) q[0], q[3], q[1];
ccx_o0 q[4], q[2], q[0];
