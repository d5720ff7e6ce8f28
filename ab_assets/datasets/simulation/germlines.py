"""Human germline genes as amino acids in IMGT columns, so that the position of every residue is known exactly.

Source of the facts: IMGT/GENE-DB reference directory, *01 alleles unless named otherwise. `.` is an IMGT gap.
"""

from __future__ import annotations

from dataclasses import dataclass

# IMGT unique numbering (Lefranc et al. 2003, doi:10.1016/S0145-305X(02)00039-3): a V-REGION fills columns 1-104 and
# then the first columns of the CDR3; a FWR4 starts at column 118.
FIRST_CDR3_COLUMN = 105
LAST_CDR3_COLUMN = 117
FULL_CDR3_LENGTH = LAST_CDR3_COLUMN - FIRST_CDR3_COLUMN + 1


@dataclass(frozen=True, slots=True)
class VGene:
    """A V-REGION. `gapped`: IMGT columns 1 to 104. `cdr3_start`: the residues that follow C104."""

    name: str
    gapped: str
    cdr3_start: str

    @property
    def residues(self) -> tuple[tuple[str, str], ...]:
        """(position, residue) of every residue up to C104, in order."""
        return tuple((str(column), residue) for column, residue in enumerate(self.gapped, start=1) if residue != ".")


@dataclass(frozen=True, slots=True)
class JGene:
    """A J-REGION. `cdr3_end`: the residues before W118 or F118. `fwr4`: columns 118 and following."""

    name: str
    cdr3_end: str
    fwr4: str


def _v(name: str, fwr1: str, cdr1: str, fwr2: str, cdr2: str, fwr3: str, cdr3_start: str) -> VGene:
    return VGene(name, fwr1 + cdr1 + fwr2 + cdr2 + fwr3, cdr3_start)


IGHV = (
    _v(
        "IGHV1-2*02",
        "QVQLVQSGA.EVKKPGASVKVSCKAS",
        "GYTF....TGYY",
        "MHWVRQAPGQGLEWMGW",
        "INPN..SGGT",
        "NYAQKFQ.GRVTMTRDTSISTAYMELSRLRSDDTAVYYC",
        "AR",
    ),
    _v(
        "IGHV1-46*01",
        "QVQLVQSGA.EVKKPGASVKVSCKAS",
        "GYTF....TSYY",
        "MHWVRQAPGQGLEWMGI",
        "INPS..GGST",
        "SYAQKFQ.GRVTMTRDTSTSTVYMELSSLRSEDTAVYYC",
        "AR",
    ),
    _v(
        "IGHV1-69*01",
        "QVQLVQSGA.EVKKPGSSVKVSCKAS",
        "GGTF....SSYA",
        "ISWVRQAPGQGLEWMGG",
        "IIPI..FGTA",
        "NYAQKFQ.GRVTITADESTSTAYMELSSLRSEDTAVYYC",
        "AR",
    ),
    _v(
        "IGHV3-7*01",
        "EVQLVESGG.GLVQPGGSLRLSCAAS",
        "GFTF....SSYW",
        "MSWVRQAPGKGLEWVAN",
        "IKQD..GSEK",
        "YYVDSVK.GRFTISRDNAKNSLYLQMNSLRAEDTAVYYC",
        "AR",
    ),
    _v(
        "IGHV3-23*01",
        "EVQLLESGG.GLVQPGGSLRLSCAAS",
        "GFTF....SSYA",
        "MSWVRQAPGKGLEWVSA",
        "ISGS..GGST",
        "YYADSVK.GRFTISRDNSKNTLYLQMNSLRAEDTAVYYC",
        "AK",
    ),
    _v(
        "IGHV3-30*18",
        "QVQLVESGG.GVVQPGRSLRLSCAAS",
        "GFTF....SSYG",
        "MHWVRQAPGKGLEWVAV",
        "ISYD..GSNK",
        "YYADSVK.GRFTISRDNSKNTLYLQMNSLRAEDTAVYYC",
        "AK",
    ),
    _v(
        "IGHV3-53*01",
        "EVQLVESGG.GLIQPGGSLRLSCAAS",
        "GFTV....SSNY",
        "MSWVRQAPGKGLEWVSV",
        "IYSG...GST",
        "YYADSVK.GRFTISRDNSKNTLYLQMNSLRAEDTAVYYC",
        "AR",
    ),
    _v(
        "IGHV4-34*01",
        "QVQLQQWGA.GLLKPSETLSLTCAVY",
        "GGSF....SGYY",
        "WSWIRQPPGKGLEWIGE",
        "INHS...GST",
        "NYNPSLK.SRVTISVDTSKNQFSLKLSSVTAADTAVYYC",
        "AR",
    ),
    _v(
        "IGHV4-39*01",
        "QLQLQESGP.GLVKPSETLSLTCTVS",
        "GGSIS..SSSYY",
        "WGWIRQPPGKGLEWIGS",
        "IYYS...GST",
        "YYNPSLK.SRVTISVDTSKNQFSLKLSSVTAADTAVYYC",
        "AR",
    ),
    _v(
        "IGHV4-59*01",
        "QVQLQESGP.GLVKPSETLSLTCTVS",
        "GGSI....SSYY",
        "WSWIRQPPGKGLEWIGY",
        "IYYS...GST",
        "NYNPSLK.SRVTISVDTSKNQFSLKLSSVTAADTAVYYC",
        "AR",
    ),
    _v(
        "IGHV5-51*01",
        "EVQLVQSGA.EVKKPGESLKISCKGS",
        "GYSF....TSYW",
        "IGWVRQMPGKGLEWMGI",
        "IYPG..DSDT",
        "RYSPSFQ.GQVTISADKSISTAYLQWSSLKASDTAMYYC",
        "AR",
    ),
    _v(
        "IGHV6-1*01",
        "QVQLQQSGP.GLVKPSQTLSLTCAIS",
        "GDSVS..SNSAA",
        "WNWIRQSPSRGLEWLGR",
        "TYYRS.KWYN",
        "DYAVSVK.SRITINPDTSKNQFSLQLNSVTPEDTAVYYC",
        "AR",
    ),
)

IGLV_AND_IGKV = (
    _v(
        "IGKV1-5*03",
        "DIQMTQSPSTLSASVGDRVTITCRAS",
        "QSI......SSW",
        "LAWYQQKPGKAPKLLIY",
        "KA.......S",
        "SLESGVP.SRFSGSG..SGTEFTLTISSLQPDDFATYYC",
        "QQYNSYS",
    ),
    _v(
        "IGKV1-39*01",
        "DIQMTQSPSSLSASVGDRVTITCRAS",
        "QSI......SSY",
        "LNWYQQKPGKAPKLLIY",
        "AA.......S",
        "SLQSGVP.SRFSGSG..SGTDFTLTISSLQPEDFATYYC",
        "QQSYSTP",
    ),
    _v(
        "IGKV3-11*01",
        "EIVLTQSPATLSLSPGERATLSCRAS",
        "QSV......SSY",
        "LAWYQQKPGQAPRLLIY",
        "DA.......S",
        "NRATGIP.ARFSGSG..SGTDFTLTISSLEPEDFAVYYC",
        "QQRSNWP",
    ),
    _v(
        "IGKV3-20*01",
        "EIVLTQSPGTLSLSPGERATLSCRAS",
        "QSVS.....SSY",
        "LAWYQQKPGQAPRLLIY",
        "GA.......S",
        "SRATGIP.DRFSGSG..SGTDFTLTISRLEPEDFAVYYC",
        "QQYGSSP",
    ),
    _v(
        "IGKV4-1*01",
        "DIVMTQSPDSLAVSLGERATINCKSS",
        "QSVLYSSNNKNY",
        "LAWYQQKPGQPPKLLIY",
        "WA.......S",
        "TRESGVP.DRFSGSG..SGTDFTLTISSLQAEDVAVYYC",
        "QQYYSTP",
    ),
    _v(
        "IGLV1-40*01",
        "QSVLTQPPS.VSGAPGQRVTISCTGS",
        "SSNIG...AGYD",
        "VHWYQQLPGTAPKLLIY",
        "GN.......S",
        "NRPSGVP.DRFSGSK..SGTSASLAITGLQAEDEADYYC",
        "QSYDSSLSG",
    ),
    _v(
        "IGLV1-44*01",
        "QSVLTQPPS.ASGTPGQRVTISCSGS",
        "SSNI....GSNT",
        "VNWYQQLPGTAPKLLIY",
        "SN.......N",
        "QRPSGVP.DRFSGSK..SGTSASLAISGLQSEDEADYYC",
        "AAWDDSLNG",
    ),
    _v(
        "IGLV2-14*01",
        "QSALTQPAS.VSGSPGQSITISCTGT",
        "SSDVG...GYNY",
        "VSWYQQHPGKAPKLMIY",
        "EV.......S",
        "NRPSGVS.NRFSGSK..SGNTASLTISGLQAEDEADYYC",
        "SSYTSSST",
    ),
    _v(
        "IGLV3-21*02",
        "SYVLTQPPS.VSVAPGQTARITCGGN",
        "NIG......SKS",
        "VHWYQQKPGQAPVLVVY",
        "DD.......S",
        "DRPSGIP.ERFSGSN..SGNTATLTISRVEAGDEADYYC",
        "QVWDSSSDH",
    ),
)

IGHJ = (
    JGene("IGHJ2*01", "YWYFDL", "WGRGTLVTVSS"),
    JGene("IGHJ3*02", "DAFDI", "WGQGTMVTVSS"),
    JGene("IGHJ4*02", "YFDY", "WGQGTLVTVSS"),
    JGene("IGHJ5*02", "NWFDP", "WGQGTLVTVSS"),
    JGene("IGHJ6*02", "YYYYYGMDV", "WGQGTTVTVSS"),
)
IGKJ = (
    JGene("IGKJ1*01", "WT", "FGQGTKVEIK"),
    JGene("IGKJ2*01", "YT", "FGQGTKLEIK"),
    JGene("IGKJ4*01", "LT", "FGGGTKVEIK"),
)
IGLJ = (
    JGene("IGLJ1*01", "YV", "FGTGTKVTVL"),
    JGene("IGLJ2*01", "VV", "FGGGTKLTVL"),
    JGene("IGLJ3*02", "WV", "FGGGTKLTVL"),
)

# Common reading frames of human IGHD genes; the piece that recombines into a CDR-H3 is a part of one of them.
IGHD_FRAMES = {
    "IGHD1-26*01": "GIVGAT",
    "IGHD2-2*01": "GYCSSTSCYA",
    "IGHD2-15*01": "GYCSGGSCYS",
    "IGHD3-3*01": "YYDFWSGYY",
    "IGHD3-10*01": "YYYGSGSYY",
    "IGHD3-16*01": "YYDYVWGSYR",
    "IGHD3-22*01": "YYYDSSGYYY",
    "IGHD4-17*01": "DYGDY",
    "IGHD5-18*01": "GYSYGY",
    "IGHD6-13*01": "GYSSSWY",
    "IGHD6-19*01": "GYSSGWY",
    "IGHD7-27*01": "LTG",
}
